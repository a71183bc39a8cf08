import json

import blockdiff
from blockdiff.engine.report import Side, VerifyReport
from blockdiff.extent import Kind
from tests.fixtures.images import write_image


def report():
    return VerifyReport("verify", Side("a", 10), Side("b", 20), "content", 4096, length=10)


def test_a_new_report_claims_nothing():
    made = report()
    assert not made.identical
    assert not made.complete
    assert (made.bytes_read, made.bytes_per_second, made.difference_count) == (0, 0.0, 0)
    assert made.source.read_path == "none"


def test_count():
    made = report()
    made.count(blockdiff.Extents([(0, 512, Kind.BIT_FLIP), (512, 4096, Kind.SRC_ZERO)]))
    made.count(blockdiff.Extents([(8192, 512, Kind.BIT_FLIP)]))
    assert (made.difference_count, made.differing_bytes) == (3, 5120)
    assert made.bytes_by_class == {"bit-flip": 1024, "src-zero": 4096}
    assert len(made.differences) == 0


def test_read_path_names_the_most_used_first():
    side = Side("a", 10)
    side.bytes_by_path.update(buffered=5, direct=100, mmap=20)
    assert side.read_path == "direct+mmap+buffered"
    assert side.to_dict()["bytes_by_path"] == {"buffered": 5, "direct": 100, "mmap": 20}


def test_json_form(tmp_path):
    a, b = write_image(tmp_path / "a", b"A" * 8192), write_image(tmp_path / "b", b"A" * 4096 + bytes(4096))
    made = blockdiff.verify(a, b)
    value = json.loads(json.dumps(made.to_dict()))
    assert value["differences"] == [{"offset": 4096, "length": 4096, "class": "dst-zero"}]
    assert value["schema_version"] == 1
    assert (value["command"], value["identical"], value["complete"]) == ("verify", False, True)
    assert value["source"]["url"] == str(a)
    assert (value["bytes_compared"], value["bytes_read"]) == (8192, 16384)
    assert value["skipped"] == value["unreadable"] == value["warnings"] == []
    assert "differences" not in made.summary_dict()


def test_skipped_has_reasons(tmp_path):
    a, b = (write_image(tmp_path / name, bytes(65536), [(0, 65536)]) for name in "ab")
    made = blockdiff.verify(a, b, extents=blockdiff.Extents([(0, 4096)]))
    assert made.skipped == {"hole": 4096, "not-listed": 61440}
    assert made.identical


def test_repr_says_the_result(tmp_path):
    a, b = write_image(tmp_path / "a", b"A"), write_image(tmp_path / "b", b"B")
    assert "identical=False, 1 differences, 1 bytes" in repr(blockdiff.verify(a, b))


def test_every_kind_has_a_label():
    labels = [kind.label for kind in Kind]
    assert labels == [
        *("data", "zero", "hole"),
        *("data", "src-zero", "dst-zero", "bit-flip", "size", "src-hole", "dst-hole", "over-reported"),
    ]
