"""Sandboxes that are restored from a checkpoint of a warmed runtime, each for one run, inside gVisor.

Imported only where the settings ask for this engine. No Docker daemon: the images'
archives and ``runsc`` are all it needs.
"""
