"""Repairs a device from another, with a journal of the old bytes, and undoes that."""
