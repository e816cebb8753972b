"""Fixtures for tests of the served page."""

from tests.served import people, serve

__all__ = ["people", "serve"]
