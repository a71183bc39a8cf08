"""``python -m blockdiff``."""

from blockdiff.cli.main import main

main()
