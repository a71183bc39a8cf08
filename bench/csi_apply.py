"""Copies the ranges of a list, one by one, and makes them durable: ``csi_apply.py SRC DST LIST``."""

import json
import os
import sys

source, target = os.open(sys.argv[1], os.O_RDONLY), os.open(sys.argv[2], os.O_RDWR)
copied = 0
with open(sys.argv[3], "rb") as file:
    records = json.load(file)
for record in records:
    for entry in record["block_metadata"]:
        offset = entry.get("byte_offset", 0)
        copied += os.pwrite(target, os.pread(source, entry["size_bytes"], offset), offset)
os.fsync(target)
print(copied)
