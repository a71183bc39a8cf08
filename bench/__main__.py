"""``python -m bench [--quick] [pytest options and files]``: all benchmarks, the table at the end."""

import os
import sys

import pytest

words = sys.argv[1:]
if not any(os.path.exists(word.partition("::")[0]) for word in words if not word.startswith("-")):
    words.append(os.path.dirname(__file__))
# The marker expression outweighs a default one that leaves benchmarks out; a long race is not a hung test.
sys.exit(pytest.main(["-m", "benchmark", "-o", "faulthandler_timeout=0", "-q", *words]))
