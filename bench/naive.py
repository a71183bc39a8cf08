"""The loop that people write first: read 1 MiB of each, compare, count the differing 64 KiB blocks."""

import sys

CHUNK = 1 << 20
BLOCK = 64 * 1024

count = 0
with open(sys.argv[1], "rb") as first, open(sys.argv[2], "rb") as second:
    while True:
        a, b = first.read(CHUNK), second.read(CHUNK)
        if not a and not b:
            break
        if a != b:
            count += sum(a[i : i + BLOCK] != b[i : i + BLOCK] for i in range(0, max(len(a), len(b)), BLOCK))
print(count)
