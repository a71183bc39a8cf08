"""Whose snapshot may be named as the base: any handle that is nobody else's."""

import pytest

from blockdiff.csi.sidecar.base import effective_mode
from blockdiff.csi.sidecar.cluster import ClusterError
from tests.fixtures.sidecar import SIDECAR, broken, content, refused, tuples

DENIED = (
    "PERMISSION_DENIED",
    "user does not have permissions to perform the operation: base snapshot 'theirs' belongs to another namespace",
)


@pytest.fixture
def other(api):
    """A snapshot of another namespace, of the same volume."""
    api.add("volumesnapshotcontents", content("x", "other", handle="theirs"))


def test_a_base_of_the_same_namespace(sidecar, driver):
    started = sidecar(mode="strict")
    for _ in range(2):
        assert tuples(started.client.delta())
    assert [request.base_snapshot_id for request in driver.requests] == ["handle-a", "handle-a"]


def test_a_base_that_the_cluster_has_forgotten(sidecar, driver):
    assert tuples(sidecar().client.delta("long-gone"))
    assert driver.requests[0].base_snapshot_id == "long-gone"


def test_a_forgotten_base_is_refused_by_strict(sidecar, driver):
    code, text = refused(sidecar(mode="strict").client.delta("long-gone"))
    assert (code, text) == ("NOT_FOUND", "base snapshot 'long-gone' is of no VolumeSnapshotContent")
    assert driver.requests == []


def test_a_base_of_a_namespace_that_the_user_may_not_read(sidecar, api, driver, other):
    started = sidecar()
    api.deny.add((started.user, "get", "volumesnapshots", "other"))
    for _ in range(2):
        assert refused(started.client.delta("theirs")) == DENIED
    assert driver.requests == []


def test_a_base_of_a_namespace_that_the_user_may_read(sidecar, api, driver, other):
    assert tuples(sidecar().client.delta("theirs"))


def test_a_right_that_was_taken_away(sidecar, api, driver, other):
    started = sidecar()
    assert tuples(started.client.delta("theirs"))
    api.deny.add((started.user, "get", "volumesnapshots", "other"))
    assert refused(started.client.delta("theirs")) == DENIED


def test_a_handle_that_two_know(sidecar, api, driver, other):
    """Imported into our namespace as well: it is ours, too."""
    started = sidecar()
    api.deny.add((started.user, "get", "volumesnapshots", "other"))
    api.add("volumesnapshotcontents", content("y", "app", handle="theirs"))
    assert tuples(started.client.delta("theirs"))
    api.remove("volumesnapshotcontents", "", "content-y")
    assert refused(started.client.delta("theirs")) == DENIED


def test_a_base_of_another_driver(sidecar, api, driver):
    api.add("volumesnapshotcontents", content("x", handle="theirs", driver="other.example"))
    code, text = refused(sidecar().client.delta("theirs"))
    assert (code, text) == (
        "INVALID_ARGUMENT",
        "base snapshot 'theirs' does not belong to the CSI driver 'test.csi.example'",
    )


def test_a_base_of_another_volume(sidecar, api, driver):
    api.add("volumesnapshotcontents", content("x", handle="theirs", volume="vol-2"))
    code, text = refused(sidecar().client.delta("theirs"))
    assert (code, text) == ("INVALID_ARGUMENT", "base snapshot 'theirs' is of another volume than the target")
    assert driver.requests == []


def test_contents_without_anything_in_them(sidecar, api, driver):
    api.add("volumesnapshotcontents", {"metadata": {"name": "bare"}})
    api.add("volumesnapshotcontents", {"metadata": {"name": "null"}, "spec": None, "status": None})
    assert tuples(sidecar().client.delta("gone"))


def test_an_orphan_is_not_everybodys(sidecar, api, driver):
    """A content that does not say whose it is."""
    orphan = content("x", handle="theirs")
    del orphan["spec"]["volumeSnapshotRef"]
    api.add("volumesnapshotcontents", orphan)
    assert refused(sidecar().client.delta("theirs")) == DENIED


def test_contents_that_cannot_be_listed(sidecar, api, driver):
    started = sidecar()
    api.faults["volumesnapshotcontents"] = broken(503)
    code, text = refused(started.client.delta())
    assert (code, text) == ("UNAVAILABLE", "failed to list VolumeSnapshotContents: broken")


def test_off_asks_nobody(sidecar, api, driver, other):
    started = sidecar(mode="off")
    api.deny.add((started.user, "get", "volumesnapshots", "other"))
    assert tuples(started.client.delta("theirs"))


def test_what_can_be_done_is_told_at_the_start(sidecar, api):
    cluster = sidecar().cluster
    assert [effective_mode(cluster, mode, 30)[0] for mode in ("auto", "known", "strict", "off")] == [
        "known",
        "known",
        "strict",
        "off",
    ]
    api.deny.add((SIDECAR, "list", "volumesnapshotcontents", ""))
    mode, warning = effective_mode(cluster, "auto", 30)
    assert mode == "off"
    assert "base handles are NOT checked" in warning
    for mode in ("known", "strict"):
        with pytest.raises(ClusterError, match=f"{mode} needs to list"):
            effective_mode(cluster, mode, 30)
