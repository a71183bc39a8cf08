"""Moves bytes and knows devices; no product names here."""
