"""The door of a region: takes submissions over HTTP, queues them, and tells how they fare.

Start reading at ``app`` (what is built, in which order), then ``routes`` (what is answered where), ``admission`` (how a
submission becomes a job) and ``feeds`` (how its output comes back). It imports ``jobs`` and never ``runner``.
"""
