"""Names on storage: the facts as vectors, round trips over all legal names, and names that are those of two."""

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from blockdiff.pool.lxd.kind import ContentType, SnapshotKind, VolumeType
from blockdiff.pool.lxd.name import Name
from blockdiff.pool.lxd.names import DRIVERS, make_name, parse_name
from blockdiff.pool.naming import NamingError

CONTAINER, VM, IMAGE, CUSTOM, BUCKET = VolumeType
FILESYSTEM, BLOCK, ISO = ContentType
UUID = "a3c5fe2e-0b1c-4d2e-8f3a-1b2c3d4e5f60"
FINGERPRINT = "0ab1" * 16


READONLY = {"snapshot": "readonly", "kind": SnapshotKind.READONLY}
DELETED = {"snapshot": UUID, "kind": SnapshotKind.DELETED}
MIGRATION = {"snapshot": UUID, "kind": SnapshotKind.MIGRATION}
GONE = {"project": "", "deleted": True}


def name(type_, volume, content=FILESYSTEM, **fields):
    return Name(type_, volume, content, **fields)


VECTORS = [
    # Ceph
    ("ceph", "custom_default_vol1.block", name(CUSTOM, "vol1", BLOCK)),
    ("ceph", "custom_default_vol1", name(CUSTOM, "vol1")),
    ("ceph", "custom_p1_disc.iso", name(CUSTOM, "disc", ISO, project="p1")),
    ("ceph", "container_bar@snapshot_snap0", name(CONTAINER, "bar", snapshot="snap0")),
    ("ceph", "container_p1_bar", name(CONTAINER, "bar", project="p1")),
    ("ceph", "virtual-machine_vm1.block", name(VM, "vm1", BLOCK)),
    ("ceph", "virtual-machine_vm1", name(VM, "vm1")),
    ("ceph", "lxd/virtual-machine_p-1_v-1.block@snapshot_a-b_c.d",
     name(VM, "v-1", BLOCK, project="p-1", pool="lxd", snapshot="a-b_c.d")),
    ("ceph", f"image_{FINGERPRINT}_ext4@readonly", name(IMAGE, FINGERPRINT, filesystem="ext4", **READONLY)),
    ("ceph", f"image_{FINGERPRINT}_ext4.block@readonly",
     name(IMAGE, FINGERPRINT, BLOCK, filesystem="ext4", **READONLY)),
    ("ceph", f"zombie_image_{FINGERPRINT}_ext4.block",
     name(IMAGE, FINGERPRINT, BLOCK, filesystem="ext4", deleted=True)),
    ("ceph", "zombie_custom_default_vol1.block", name(CUSTOM, "vol1", BLOCK, deleted=True)),
    ("ceph", "zombie_container_default_c1", name(CONTAINER, "c1", deleted=True)),
    ("ceph", f"zombie_custom_{UUID}", name(CUSTOM, UUID, **GONE)),
    ("ceph", f"zombie_container_{UUID}", name(CONTAINER, UUID, **GONE)),
    ("ceph", f"custom_default_vol1@zombie_snapshot_{UUID}", name(CUSTOM, "vol1", **DELETED)),
    ("ceph", f"container_c1@migration-send-{UUID}", name(CONTAINER, "c1", **MIGRATION)),
    ("ceph", "custom_default_a_b", name(CUSTOM, "a_b")),
    ("ceph", "custom_default_a.block.block", name(CUSTOM, "a.block", BLOCK)),
    # LVM
    ("lvm", "custom_default_vol1", name(CUSTOM, "vol1")),
    ("lvm", "/dev/vg/custom_default_vol1-snap0.block", name(CUSTOM, "vol1", BLOCK, pool="vg", snapshot="snap0")),
    ("lvm", "/dev/vg-1/virtual-machines_my--vm.block", name(VM, "my-vm", BLOCK, pool="vg-1")),
    ("lvm", "containers_p--1_c--1-a--b", name(CONTAINER, "c-1", project="p-1", snapshot="a-b")),
    ("lvm", "containers_c1---b", name(CONTAINER, "c1", snapshot="-b")),  # a host name ends with no hyphen
    ("lvm", "containers_c1-----b--", name(CONTAINER, "c1", snapshot="--b-")),
    ("lvm", "custom_default_a----b", name(CUSTOM, "a--b")),
    ("lvm", "custom_default_disc.iso", name(CUSTOM, "disc", ISO)),
    ("lvm", f"images_{FINGERPRINT}.block", name(IMAGE, FINGERPRINT, BLOCK)),
    ("lvm", f"images_{FINGERPRINT}_xfs", name(IMAGE, FINGERPRINT, filesystem="xfs")),
    # ZFS
    ("zfs", "tank/virtual-machines/vm1.block", name(VM, "vm1", BLOCK, pool="tank")),
    ("zfs", "tank/virtual-machines/vm1", name(VM, "vm1", pool="tank")),
    ("zfs", "tank/lxd/containers/p1_c1@snapshot-snap0",
     name(CONTAINER, "c1", project="p1", pool="tank/lxd", snapshot="snap0")),
    ("zfs", "tank/custom/default_vol1", name(CUSTOM, "vol1", None, pool="tank")),
    ("zfs", "tank/custom/default_vol1.block", name(CUSTOM, "vol1.block", None, pool="tank")),
    ("zfs", "tank/custom/default_disc.iso", name(CUSTOM, "disc", ISO, pool="tank")),
    ("zfs", f"tank/images/{FINGERPRINT}.block@readonly", name(IMAGE, FINGERPRINT, BLOCK, pool="tank", **READONLY)),
    ("zfs", f"tank/deleted/images/{FINGERPRINT}", name(IMAGE, FINGERPRINT, pool="tank", deleted=True)),
    ("zfs", f"tank/deleted/virtual-machines/{UUID}.block", name(VM, UUID, BLOCK, pool="tank", **GONE)),
    ("zfs", f"tank/deleted/custom/{UUID}", name(CUSTOM, UUID, None, pool="tank", **GONE)),
    ("zfs", f"tank/containers/c1@deleted-{UUID}", name(CONTAINER, "c1", pool="tank", **DELETED)),
    ("zfs", f"tank/containers/c1@migration-{UUID}", name(CONTAINER, "c1", pool="tank", **MIGRATION)),
    ("zfs", "buckets/default_b1", name(BUCKET, "b1")),
    ("zfs", "buckets/default_b1.block", name(BUCKET, "b1.block")),  # there are no block devices of that type
    # directories
    *(
        vector
        for driver in ("dir", "btrfs")
        for vector in (
            (driver, "/pools/a/custom/default_vol1", name(CUSTOM, "vol1", pool="/pools/a")),
            (driver, "/pools/a/custom/default_vol1/root.img", name(CUSTOM, "vol1", BLOCK, pool="/pools/a")),
            (driver, "custom-snapshots/default_vol1/snap0", name(CUSTOM, "vol1", snapshot="snap0")),
            (driver, "custom-snapshots/default_vol1/snap0/root.img", name(CUSTOM, "vol1", BLOCK, snapshot="snap0")),
            (driver, "custom/default_disc.iso/root.img", name(CUSTOM, "disc", ISO)),
            (driver, "virtual-machines/vm1/root.img", name(VM, "vm1", BLOCK)),
            (driver, "virtual-machines-snapshots/p1_vm1/root.img", name(VM, "vm1", project="p1", snapshot="root.img")),
            (driver, "a/containers/c1", name(CONTAINER, "c1", pool="a")),
            (driver, f"images/{FINGERPRINT}", name(IMAGE, FINGERPRINT)),
            (driver, "buckets/default_b1", name(BUCKET, "b1")),
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize(("driver", "text", "wanted"), VECTORS, ids=[f"{driver}-{text}" for driver, text, _ in VECTORS])
def test_vectors(driver, text, wanted):
    assert parse_name(driver, text) == wanted
    assert make_name(driver, wanted) == text


@pytest.mark.parametrize(
    ("driver", "text", "error"),
    [
        ("ceph", "", "is no name of a volume: .* is wanted"),
        ("ceph", "vm-100-disk-0", "is no name of a volume"),
        ("ceph", "custom_vol1", '"vol1" names no project'),
        ("ceph", "custom_default_", "is empty"),
        ("ceph", "container_default_c1", "names the project default, which instances do not"),
        ("ceph", "container_c1@snap0", "is no snapshot of LXD: its names are readonly, snapshot_"),
        ("ceph", "container_c1@", "is no snapshot of LXD"),
        ("ceph", "container_c1@snapshot_", "is no snapshot of LXD"),
        ("ceph", "container_c1@snapshot_a@b", "is no name of a volume"),
        ("ceph", "container_c1.block", "containers have no content block"),
        ("ceph", "container_c1@readonly", "images have it"),
        ("ceph", "container_-c1", "is no host name"),
        ("ceph", f"image_{FINGERPRINT}", "is no fingerprint"),
        ("ceph", f"image_{FINGERPRINT}_ext4@snapshot_a", "nobody takes snapshots of images"),
        ("ceph", "a/b/custom_default_v", "is no name of a volume"),
        ("ceph", "/custom_default_v", "is no name of a volume"),
        ("ceph", "bucket_default_v", "is no name of a volume"),
        ("ceph", "custom_default_a b", "has a slash or a space"),
        ("lvm", "custom_default_a---b", "may be the name of custom/a/-b .* or custom/a-/b"),
        ("lvm", "custom_default_a-b-c", "is no name of a volume"),
        ("lvm", "container_c1", "is no name of a volume"),
        ("lvm", "/dev/mapper/vg-custom_default_a", "is no name of a volume"),
        ("lvm", "/dev/a/b/custom_default_a", "is no name of a volume"),
        ("lvm", "LXDThinPool", "is no name of a volume"),
        ("lvm", "containers_-c1", "is no name of a volume"),
        ("lvm", "custom_default_a@b", "is no name of a volume"),
        ("lvm", "custom_default_a" + "-" * 100_001, "is no name of a volume"),
        ("ceph", "custom_default_\x1b[31m", r"no volume custom/\?\[31m"),
        ("ceph", "custom_default_a.lxdtmp", "is temporary"),
        ("dir", "custom-snapshots/default_a/b.lxdtmp", "is no name of a volume"),
        ("zfs", "tank", "is no name of a volume"),
        ("zfs", "tank/custom", "is no name of a volume"),
        ("zfs", "tank/custom/", "is no name of a volume"),
        ("zfs", "tank//custom/default_a", "is no name of a volume"),
        ("zfs", "tank/custom/default_a@auto", "is no snapshot of LXD"),
        ("zfs", "tank/custom/a", "names no project"),
        ("zfs", "tank/custom-snapshots/default_a", "is no name of a volume"),
        ("dir", "a/containers-snapshots/containers/c1", "may be .* containers/c1 .* or containers/containers/c1"),
        ("dir", "/containers/c1", "is no name of a volume"),
        ("dir", "a/../containers/c1", "is no name of a volume"),
        ("dir", "a//containers/c1", "is no name of a volume"),
        ("dir", "containers/c1/", "is no name of a volume"),
        ("dir", "containers/c1/rootfs", "is no name of a volume"),
        ("dir", "containers/c1/root.img", "is no name of a volume"),
        ("dir", "root.img", "is no name of a volume"),
        ("dir", "", "is no name of a volume"),
        ("btrfs", "custom/vol1", "is no name of a volume"),
        ("powerflex", "x", 'no names of the driver "powerflex" are known: accepted are ceph, lvm, zfs, btrfs, dir'),
    ],
)  # fmt: skip
def test_texts_that_are_no_names(driver, text, error):
    with pytest.raises(NamingError, match=error):
        parse_name(driver, text)


@pytest.mark.parametrize(
    ("driver", "one", "error"),
    [
        ("ceph", name(CUSTOM, "a.block"), r"has no name of its own here: .* is that of custom/a \(block"),
        ("lvm", name(CUSTOM, "a", snapshot="b.iso"), "has no name of its own here"),
        ("dir", name(CUSTOM, "a.iso"), "has no name of its own here"),
        ("dir", name(CUSTOM, "a.iso", BLOCK), "has no name of its own here"),
        ("zfs", name(CUSTOM, "a.iso"), "has no name of its own here"),
        ("lvm", name(CUSTOM, "a-", snapshot="b"), "may be the name of"),
        ("lvm", name(CUSTOM, "a", snapshot="-b"), "may be the name of"),
        ("lvm", name(CUSTOM, "a@b"), r"letters, digits and \+_.- are wanted"),
        ("lvm", name(CUSTOM, "a" * 120), "127 at most"),
        ("lvm", name(CUSTOM, "a", deleted=True), "has no name on lvm"),
        ("lvm", name(CUSTOM, "a", None), "has no name on lvm"),
        ("zfs", name(CUSTOM, "a#b"), "letters, digits and _.:- are wanted"),
        ("zfs", name(CUSTOM, "a" * 300), "255 at most"),
        ("zfs", name(CONTAINER, "c1", pool="tank/deleted"), "is no name of a volume"),
        ("ceph", name(CUSTOM, "a@b"), "@ begins a snapshot"),
        ("ceph", name(BUCKET, "a"), "has no name on ceph"),
        ("ceph", name(CUSTOM, "a", None), "has no name on ceph"),
        ("ceph", name(IMAGE, FINGERPRINT), "without its file system"),
        ("ceph", name(CONTAINER, "c1", pool="a/b"), "is no name of a volume"),
        ("dir", name(IMAGE, FINGERPRINT, deleted=True), "has no name in a directory"),
        ("dir", name(IMAGE, FINGERPRINT, filesystem="ext4"), "has no name in a directory"),
        ("dir", name(CONTAINER, "c1", **MIGRATION), "has no name in a directory"),
        ("dir", name(CONTAINER, "c1", pool="a/"), "is no name of a volume"),
        ("zfs", name(CONTAINER, "c1", BLOCK), "containers have no content block"),
        ("zfs", name(CONTAINER, "c_1"), "is no host name"),
        ("zfs", name(CONTAINER, "c1", project="a_b"), "has a character that projects have not"),
        ("zfs", name(CONTAINER, "c1", project=""), "it has no project"),
        ("zfs", name(CUSTOM, ""), "is empty"),
        ("zfs", name(CUSTOM, "a", filesystem="ext4"), "the file system is told of images only"),
        ("zfs", name(IMAGE, FINGERPRINT, project="p"), "images belong to no project"),
        ("zfs", name(CUSTOM, "a", kind=SnapshotKind.DELETED), "its snapshot has no name"),
        ("ceph", name(CUSTOM, "a_b", **GONE), "what has no project has no _"),
    ],
)
def test_names_that_no_text_has(driver, one, error):
    with pytest.raises(NamingError, match=error):
        make_name(driver, one)


@pytest.mark.parametrize("driver", ["dir", "btrfs"])
def test_the_directory_of_an_iso_image(driver):
    assert parse_name(driver, "/p/custom/default_disc.iso") == name(CUSTOM, "disc", ISO, pool="/p")


@pytest.mark.parametrize(
    ("driver", "text", "pool", "said"),
    [
        ("lvm", "custom_default_a", "vg", 'in the pool "vg": it names no pool'),
        ("lvm", "/dev/vg/custom_default_a", "", 'in the pool "": it names "vg"'),
        ("ceph", "rbd/custom_default_a", "lxd", 'in the pool "lxd": it names "rbd"'),
        ("zfs", "tank/custom/default_a", "tank/lxd", 'in the pool "tank/lxd": it names "tank"'),
        ("dir", "/p/custom/default_a", "/q", 'in the pool "/q": it names "/p"'),
    ],
)
def test_a_name_of_another_pool(driver, text, pool, said):
    with pytest.raises(NamingError) as caught:
        parse_name(driver, text, pool=pool)
    assert str(caught.value).endswith(f" is no name of a volume {said}")


def test_a_pool_that_is_known_tells_paths_apart():
    text = "a/containers-snapshots/containers/c1"
    snapshot = name(CONTAINER, "containers", pool="a", snapshot="c1")
    assert parse_name("dir", text, pool="a") == snapshot
    assert make_name("dir", snapshot) == text
    assert parse_name("dir", text, pool="a/containers-snapshots").volume == "c1"
    with pytest.raises(NamingError):
        parse_name("dir", text, pool="b")


# ---- round trips ----

hosts = st.from_regex(r"[A-Za-z]([A-Za-z0-9-]{0,8}[A-Za-z0-9])?", fullmatch=True)
fingerprints = st.text("0123456789abcdef", min_size=1, max_size=64)
usual = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_.]|-(?=[a-z])){0,8}[a-z0-9]", fullmatch=True)
plain_projects = st.sampled_from(["default", "p1", "a-b", "a.b"])
odd = ["a.block", "b.iso", ".block", "-", "--a-", "root.img", "custom", "snapshot_x", "zombie_x", "a-snapshots"]
wild = st.text("ab0-_.:+@#%é!", min_size=1, max_size=8) | st.sampled_from(odd)
odd_projects = ["default", "zombie", "custom", "a.block"]
wild_projects = st.text("ab0-.:+é", min_size=1, max_size=4) | st.sampled_from(odd_projects)
few = st.sampled_from(["a", "a-", "-b", "b", "a.iso", "b.block"])
PIECES = [
    "custom", "containers", "container", "-snapshots", "/", "_", "-", "--", "@", "snapshot_", "snapshot-", "default",
    "a", ".block", ".iso", "root.img", "zombie_", "deleted", "images", "image", "ext4", "readonly", "/dev/", "..", " ",
]  # fmt: skip
FILESYSTEMS = {"ceph": ["ext4"], "lvm": ["", "xfs"], "zfs": ["", "ext4"], "btrfs": [""], "dir": [""]}
pools = {
    "ceph": st.sampled_from(["", "rbd", "a-b"]),
    "lvm": st.sampled_from(["", "vg", "vg-0"]),
    "zfs": st.sampled_from(["", "tank", "tank/lxd", "custom", "tank/containers"]),
    "btrfs": st.sampled_from(["", "/p/a", "a", "/p/custom-snapshots", "/custom", "containers-snapshots/b"]),
}
pools["dir"] = pools["btrfs"]


@st.composite
def names(draw, driver, texts, projects):
    kind = draw(st.sampled_from([kind for kind in VolumeType if driver != "ceph" or kind is not BUCKET]))
    volume = draw(hosts if kind.is_instance else fingerprints if kind is IMAGE else texts)
    content = FILESYSTEM
    if kind in (VM, IMAGE):
        content = draw(st.sampled_from([FILESYSTEM, BLOCK]))
    elif kind is CUSTOM:
        content = draw(st.sampled_from([None, ISO] if driver == "zfs" else [FILESYSTEM, BLOCK, ISO]))
    fields = {"pool": draw(pools[driver]), "project": "default" if kind is IMAGE else draw(projects)}
    if kind is IMAGE:
        if driver in ("ceph", "zfs"):
            fields["deleted"] = draw(st.booleans())
            if draw(st.booleans()):
                fields |= READONLY
        fields["filesystem"] = draw(st.sampled_from(FILESYSTEMS[driver]))
    elif draw(st.booleans()):
        kinds = [SnapshotKind.USER]
        if driver in ("ceph", "zfs"):
            kinds += [SnapshotKind.DELETED, SnapshotKind.MIGRATION]
        fields |= {"snapshot": draw(texts), "kind": draw(st.sampled_from(kinds))}
    return Name(kind, volume, content, **fields)


@pytest.mark.parametrize("driver", DRIVERS)
@settings(max_examples=30)
@given(data=st.data())
def test_usual_names_go_round(driver, data):
    one = data.draw(names(driver, usual, plain_projects))
    if one.type is CUSTOM or one.snapshot:  # these are names of block devices and of ISO images
        assume(not one.volume.endswith((".block", ".iso")))
        assume(not one.snapshot.endswith((".block", ".iso")))
    text = make_name(driver, one)
    assert parse_name(driver, text, pool=one.pool) == one


@pytest.mark.parametrize("driver", DRIVERS)
@settings(max_examples=30)
@given(data=st.data())
def test_any_legal_name_goes_round_or_is_refused(driver, data):
    one = data.draw(names(driver, wild, wild_projects))
    try:
        text = make_name(driver, one)
    except NamingError:
        return
    assert parse_name(driver, text, pool=one.pool) == one
    try:
        assert parse_name(driver, text) == one
    except NamingError as error:
        assert "may be the name of" in str(error)  # noqa: PT017
        assert driver in ("dir", "btrfs")


@pytest.mark.parametrize("driver", DRIVERS)
@settings(max_examples=30)
@given(data=st.data())
def test_two_volumes_never_share_a_name(driver, data):
    found = data.draw(
        st.lists(
            names(driver, st.sampled_from(["a", "a-", "-b", "b", "a.iso", "b.block"]), st.just("default")), max_size=30
        )
    )
    made = {}
    for one in found:
        try:
            text = make_name(driver, replace(one, pool=""))
        except NamingError:
            continue
        assert made.setdefault(text, replace(one, pool="")) == replace(one, pool="")


@pytest.mark.parametrize("driver", DRIVERS)
@given(text=st.text() | st.lists(st.sampled_from(PIECES)).map("".join))
def test_any_text_is_a_name_or_an_error(driver, text):
    try:
        one = parse_name(driver, text)
    except NamingError:
        return
    again = make_name(driver, one)
    assert parse_name(driver, again, pool=one.pool) == one
    if driver == "lvm":
        assert text.removeprefix("/dev/") == again.removeprefix("/dev/")
    elif not (driver in ("dir", "btrfs") and one.content is ISO):
        assert again == text


def test_types():
    assert list(VolumeType) == ["containers", "virtual-machines", "images", "custom", "buckets"]
    assert [kind.singular for kind in VolumeType] == ["container", "virtual-machine", "image", "custom", ""]
    assert [kind.content for kind in (CONTAINER, VM)] == [FILESYSTEM, BLOCK]
    assert [kind.is_instance for kind in VolumeType] == [True, True, False, False, False]
    assert list(ContentType) == ["filesystem", "block", "iso"]
    assert [content.is_block for content in ContentType] == [False, True, True]
