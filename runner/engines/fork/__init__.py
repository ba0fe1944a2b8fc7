"""The ``fork`` engine: sandboxes forked ahead from a zygote a language version. The default, and the fastest.

``engine`` is its runner's side, ``launcher`` and ``zygote`` are the other; ``cgroups`` and ``seccomp`` are the kernel's
bounds.
"""
