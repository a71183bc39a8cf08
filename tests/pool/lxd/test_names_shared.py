"""Names that two volumes share, found by writing all names of many volumes in the words of the facts."""

from collections import defaultdict
from dataclasses import replace
from itertools import product

import pytest

from blockdiff.pool.lxd.kind import ContentType, VolumeType
from blockdiff.pool.lxd.name import Name
from blockdiff.pool.lxd.names import make_name, parse_name
from blockdiff.pool.naming import NamingError

CONTAINER, VM, _, CUSTOM, BUCKET = VolumeType
FILESYSTEM, BLOCK, ISO = ContentType
VOLUMES = [
    "a",
    "a-",
    "-a",
    "a--b",
    "a_b",
    "a-b",
    "-",
    "default_a",
    "block",
    "a.block",
    "a.iso",
    "a.block.block",
    "a.iso.block",
    "a.block.iso",
    "root.img",
]
SNAPSHOTS = ["", *["s", "-s", "s-", "s.block", "s.iso", "a--b", "-", "s.iso.block", "root.img", "snapshot_x"]]
CONTENTS = {CUSTOM: [FILESYSTEM, BLOCK, ISO], CONTAINER: [FILESYSTEM], VM: [FILESYSTEM, BLOCK], BUCKET: [FILESYSTEM]}
SUFFIXES = {FILESYSTEM: "", BLOCK: ".block", ISO: ".iso"}


def storage(one):
    hidden = one.project == "default" and one.type in (CONTAINER, VM)
    return one.volume if hidden else f"{one.project}_{one.volume}"


def ceph(one):
    mark = f"@snapshot_{one.snapshot}" if one.snapshot else ""
    return f"{one.type.rstrip('s')}_{storage(one)}{SUFFIXES[one.content]}{mark}"


def lvm(one):
    path = f"{storage(one)}/{one.snapshot}" if one.snapshot else storage(one)
    return f"{one.type}_{path.replace('-', '--').replace('/', '-')}{SUFFIXES[one.content]}"


def zfs(one):
    suffix = "" if one.type is CUSTOM and one.content is BLOCK else SUFFIXES[one.content]
    return f"{one.type}/{storage(one)}{suffix}" + (f"@snapshot-{one.snapshot}" if one.snapshot else "")


def directory(one):
    path = [one.type, storage(one) + (".iso" if one.content is ISO else "")]
    if one.snapshot:
        path = [f"{one.type}-snapshots", path[1], one.snapshot]
    return "/".join([*path, "root.img"] if one.content is not FILESYSTEM else path)


WRITERS = {"ceph": ceph, "lvm": lvm, "zfs": zfs, "dir": directory, "btrfs": directory}


def legal(driver):
    for kind, project, volume, snapshot in product(CONTENTS, ["default", "p-", "-b"], VOLUMES, SNAPSHOTS):
        for content in CONTENTS[kind]:
            one = Name(kind, volume, content, project, snapshot=snapshot)
            try:
                one.checked()
            except NamingError:
                continue
            if (driver, kind) != ("ceph", BUCKET):
                yield one


def told(driver, one):
    """What a text can tell of it: on ZFS not what is in a custom volume."""
    content = None if driver == "zfs" and one.type is CUSTOM and one.content is not ISO else one.content
    return (one.type, one.project, one.volume, one.snapshot, content)


def called_so(one):
    """Whether people gave it a name that ends as LXD's own do."""
    return one.volume.endswith((".block", ".iso")) or one.snapshot.endswith((".block", ".iso"))


@pytest.mark.parametrize("driver", WRITERS)
def test_no_text_is_read_as_another_volume(driver):
    texts = defaultdict(list)
    for one in legal(driver):
        texts[WRITERS[driver](one)].append(one)
    assert len(texts) > 1500
    for text, owners in texts.items():
        meant = {told(driver, one) for one in owners}
        try:
            read = parse_name(driver, text)
        except NamingError:
            assert driver == "lvm", text
            assert "---" in text or any(map(called_so, owners)), text
            continue
        if told(driver, read) not in meant or len(meant) > 1:  # the exception that is documented
            others = [one for one in owners if told(driver, one) != told(driver, read)]
            assert read.content in (BLOCK, ISO), text
            assert all(called_so(one) for one in others), text


@pytest.mark.parametrize("driver", WRITERS)
def test_what_is_made_is_what_lxd_calls_it(driver):
    made = {}
    for one in legal(driver):
        asked = replace(one, content=told(driver, one)[-1])
        try:
            text = make_name(driver, asked)
        except NamingError:
            assert (driver == "lvm" and "---" in WRITERS[driver](one)) or called_so(one), one
            continue
        assert text == WRITERS[driver](one)
        assert made.setdefault(text, asked) == asked
    assert len(made) > 1000
