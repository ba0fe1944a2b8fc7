"""The engines: each pitches single-use sandboxes, and each is one folder."""
