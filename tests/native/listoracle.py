"""A second opinion on lists of extents: the standard library reads them, slowly and with no judgement of order."""

import json
import xml.etree.ElementTree as ET

TOP = 2**63 - 1
LABELS = {"data": 0, "zero": 1, "hole": 2, "src-zero": 17, "dst-zero": 18, "bit-flip": 19, "size": 20,
          "src-hole": 21, "dst-hole": 22, "over-reported": 23}  # fmt: skip
NBD = {"data": 0, "dirty": 0, "zero": 1, "hole": 2, "hole,zero": 2, "clean": 2}
THIN = {"different": 0, "left_only": 0, "right_only": 0, "same": 2}


def read(text, *, block_size=None):
    """(offset, length, kind) of each entry of a list. Any exception: it is no list."""
    if text.lstrip(b" \r\n\t").startswith(b"<"):
        return of_xml(ET.fromstring(text.decode()), block_size)
    decoder, rest, values = (
        json.JSONDecoder(parse_int=lambda digits: int(digits[:40])),
        text.decode().lstrip(" \r\n\t"),
        [],
    )
    while rest:
        value, end = decoder.raw_decode(rest)
        values.append(value)
        rest = rest[end:].lstrip(" \r\n\t")
    if len(values) == 1 and isinstance(values[0], list):
        values = values[0]
    return [extent for number, value in enumerate(values) for extent in of_value(value, values[0])]


def of_value(value, first):
    if "block_metadata" in value:
        return [
            (t.get("byte_offset", 0), t["size_bytes"], kind_of(t)) for t in value["block_metadata"] or ()
        ]  # fmt: skip
    if "differences" in value:
        return [(t["offset"], t["length"], kind_of(t)) for t in value["differences"]]
    if "schema_version" in value and "command" in value:
        return []
    if "start" in value:
        return [(value["start"], value["length"], of_start(value, first))]
    kind = kind_of(value)
    if "exists" in value:
        kind = {"true": 0, "false": 1, True: 0, False: 1}[value["exists"]]
    elif "type" in value:
        kind = NBD[value["description"]]
    return [(value["offset"], value["length"], kind)]


def kind_of(value):
    if "kind" in value:
        return LABELS[value["kind"]]
    return 16 if value.get("class") == "data" else LABELS[value.get("class", "data")]


def of_start(value, first):
    zero = value.get("zero", False)
    if "data" in value:
        raw = first["start"] == 0 and first.get("offset") == 0
        if not value["data"] and (not value.get("present", True) or (zero and raw)):
            return 2
        return 1 if zero else 0
    if not value.get("dirty", True) or (value.get("hole") and zero):
        return 2
    return 1 if zero else 0


def of_xml(root, block_size):
    block = int(root.get("data_block_size", 0)) * 512 or block_size
    diffs = [root] if root.tag == "diff" else list(root)
    assert [diff.tag for diff in diffs] == ["diff"]
    found = []
    for item in diffs[0]:
        for part in item if "begin" not in item.attrib else [item]:
            begin, length = int(part.get("begin")), int(part.get("length"))
            found.append((begin * block, length * block, THIN[item.tag]))
    return found


def sane(extents):
    """Whether they ascend, do not overlap, and lie inside of what can be said."""
    end = 0
    for offset, length, _ in extents:
        if offset < end or length <= 0 or offset + length > TOP:
            return False
        end = offset + length
    return True
