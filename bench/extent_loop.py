"""The lister's JSON as that of rbd diff, by msgspec's types: ``extent_loop.py FILE``, the loop that one would write."""

import sys

import msgspec


class Item(msgspec.Struct):
    size_bytes: int
    byte_offset: int = 0


class Metadata(msgspec.Struct):
    block_metadata: list[Item]


class Extent(msgspec.Struct):
    offset: int
    length: int
    exists: str


with open(sys.argv[1], "rb") as file:
    records = msgspec.json.decode(file.read(), type=list[Metadata])
found = [Extent(item.byte_offset, item.size_bytes, "true") for record in records for item in record.block_metadata]
sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n")
