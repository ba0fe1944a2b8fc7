"""The docker engine: one container a sandbox, started ahead from an image of the language, used once.

``engine`` pitches, ``sandbox`` runs, ``door`` is the one module that knows aiodocker, ``installed`` finds what the
images hold, and ``inside`` is what is process 1 of a container.
"""
