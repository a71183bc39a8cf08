"""Fixtures for everybody."""

pytest_plugins = ["tests.fixtures.storage"]
