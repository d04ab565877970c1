"""Payload sets: what is in them, how they are told apart, and which arrival carries which file."""

from pathlib import Path

import numpy as np
import pytest

from loadtest.errors import ScheduleError
from loadtest.payloads import PayloadSet
from loadtest.profile import Mix, Payload
from tests.loads import payloads


def test_a_set_holds_the_files_by_name_with_their_sizes(tmp_path: Path) -> None:
    found = payloads(tmp_path, 10)
    assert [path.name for path in found.files] == [f"{index:03d}.jpg" for index in range(10)]
    assert found.sizes == tuple(100 * (index + 1) for index in range(10))
    assert found.size_percentiles() == {"min": 100, "p50": 500, "p90": 900, "max": 1000}


def test_the_checksum_changes_with_a_byte_a_name_and_where_a_file_ends(tmp_path: Path) -> None:
    first = payloads(tmp_path / "a").sha256
    assert payloads(tmp_path / "b").sha256 == first
    (tmp_path / "b" / "001.jpg").write_bytes(b"\x02" * 200)
    assert payloads_again(tmp_path / "b").sha256 != first
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "000.jpg").write_bytes(b"ab")
    (tmp_path / "c" / "001.jpg").write_bytes(b"c")
    before = payloads_again(tmp_path / "c").sha256
    (tmp_path / "c" / "000.jpg").write_bytes(b"a")
    (tmp_path / "c" / "001.jpg").write_bytes(b"bc")
    assert payloads_again(tmp_path / "c").sha256 != before
    (tmp_path / "c" / "001.jpg").rename(tmp_path / "c" / "002.jpg")
    assert len({payloads_again(tmp_path / "c").sha256, before, first}) == 3


def payloads_again(folder: Path) -> PayloadSet:
    return PayloadSet.from_mix([("*.jpg", 1.0)], folder, seed=7)


def test_the_order_is_seeded_and_sends_every_file_before_any_twice(tmp_path: Path) -> None:
    found = payloads(tmp_path, 7)
    order = found.order(70)
    assert np.array_equal(order, found.order(70))
    for start in range(0, 70, 7):
        assert sorted(order[start : start + 7]) == list(range(7))
    other = PayloadSet.from_mix([("*.jpg", 1.0)], tmp_path, seed=8)
    assert not np.array_equal(order, other.order(70))


def test_a_mix_sends_each_part_by_its_share(tmp_path: Path) -> None:
    payloads(tmp_path, 4)
    payloads(tmp_path, 2, ending="png")
    payload = Payload(mix=(Mix(glob="*.jpg", share=0.25), Mix(glob="*.png", share=0.75)), seed=3)
    found = PayloadSet.from_profile(payload, tmp_path)
    assert found.shares == (0.25, 0.75)
    order = found.order(4000)
    assert 0.22 < float(np.mean(order < 4)) < 0.28
    assert set(order) == set(range(6))


def test_a_part_without_files_or_a_mix_without_shares_is_refused(tmp_path: Path) -> None:
    payloads(tmp_path)
    with pytest.raises(ScheduleError, match=r"is called \*\.webp"):
        PayloadSet.from_mix([("*.webp", 1.0)], tmp_path, seed=1)
    with pytest.raises(ScheduleError, match="no share above 0"):
        PayloadSet.from_mix([("*.jpg", 0.0)], tmp_path, seed=1)


def test_each_file_is_sent_as_its_protocol_wants(tmp_path: Path) -> None:
    requests = payloads(tmp_path, 2).requests_as("v1-image")
    assert [request.headers for request in requests] == [{"content-type": "image/jpeg"}] * 2
