"""A slice of extents in a reference cycle freed the memory of the whole: the collector had taken its owner away."""

import subprocess
import sys

PROGRAM = """
import gc
from blockdiff import Extents
for _ in range(50):
    whole = Extents([(at * 8192, 4096) for at in range(1000)])
    cycle = [whole[1:900], whole[5:9][1:2], whole]
    cycle.append(cycle)
    del whole, cycle
    gc.collect()
print("well")
"""


def test_slices_in_garbage():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "well\n"), done.stderr
