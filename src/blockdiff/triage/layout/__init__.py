"""What is where on an image: partition tables and file systems, read by pure code that trusts no byte of it."""
