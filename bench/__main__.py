"""``python -m bench [--quick] [pytest options]``: all benchmarks, the table at the end."""

import sys
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)
# The marker expression outweighs a default one that leaves benchmarks out; timeouts would end long races.
sys.exit(pytest.main([HERE, "-m", "benchmark", "-o", "timeout=0", "-q", *sys.argv[1:]]))
