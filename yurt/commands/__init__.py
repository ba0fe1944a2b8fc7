"""The ``yurt`` command, one module a family of sub-commands. ``arguments`` reads what was typed."""
