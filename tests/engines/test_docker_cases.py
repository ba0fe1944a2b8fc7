"""What users of such services complained of holds in containers: ``tests/cases``, in every language of an image."""

from tests.cases.test_complaints import *  # noqa: F403  # all of them, and those that will be
