"""One module per URL scheme: each opens devices (``open_device``) and, where it can, sources."""
