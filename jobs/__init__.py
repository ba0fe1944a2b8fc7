"""The words every Yurt process uses. No I/O, no clock, no event loop (only ``jobs.service`` has those).

Start reading at ``submission`` (what a caller sends), then ``job`` (one accepted submission), ``result`` (the one
record that replaces it) and ``streams`` (where they all live in JetStream).
"""
