"""What the runner knows of each language: one folder a language, all in the shape of ``contract``."""
