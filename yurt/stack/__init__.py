"""The network on one machine: NATS servers, gateways and runners of one region or several, as ``yurt up`` has them.

``network`` is the whole, ``station`` one region, ``child`` one process; ``layout`` says where everything is, ``parts``
what is started with which configuration, ``link`` simulates distance, ``folder`` is where it all lies, ``ports`` who
listens where, ``board`` what a person sees meanwhile.
"""
