"""The command line: the only part that prints and exits. One command a file."""
