"""Sandboxes for this folder's tests."""

from tests.sandboxes import sandboxes

__all__ = ["sandboxes"]
