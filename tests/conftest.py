"""Fixtures for everybody."""

pytest_plugins = ["fixtures.storage"]
