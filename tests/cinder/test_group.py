from itertools import chain

from blockdiff.cinder.group import Volume, group_by_server


def volumes(text):
    """``a:1 b: c:1,2``: volumes with the servers that they are attached to."""
    pairs = [one.split(":") for one in text.split()]
    return [Volume(name, tuple(filter(None, servers.split(",")))) for name, servers in pairs]


def test_groups():
    groups = group_by_server(volumes("a:vm2 b: c:vm1 d:vm1,vm2 e:vm2 f:"))
    assert groups.attached == {"vm2": volumes("a:vm2 e:vm2"), "vm1": volumes("c:vm1")}
    assert list(groups.attached) == ["vm2", "vm1"]
    assert groups.multi_attached == volumes("d:vm1,vm2")
    assert groups.unattached == volumes("b: f:")


def test_two_attachments_to_one_server_are_two():
    assert group_by_server(volumes("a:vm1,vm1")).multi_attached == volumes("a:vm1,vm1")


def test_every_volume_is_in_one_group():
    every = volumes("a:1 b: c:1,2 d:2 e:1 a:1")
    groups = group_by_server(every)
    members = [*chain(*groups.attached.values()), *groups.multi_attached, *groups.unattached]
    assert sorted(members) == sorted(every)


def test_nothing():
    assert group_by_server([]) == ({}, [], [])
