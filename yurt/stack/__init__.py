"""The network on one machine: a NATS server, a gateway and a runner, started, watched and ended by ``yurt up``.

``network`` is the whole, ``child`` one process, ``parts`` what is started with which configuration, ``folder`` where it
all lies, ``ports`` who listens where.
"""
