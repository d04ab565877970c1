"""A race whose load is gRPC: the same course, the same records, tensors instead of images."""

from pathlib import Path

import pytest

from tests.contract.race.racing import RACE_S, SHORT_GRPC, Workshop, records

pytestmark = pytest.mark.timeout(RACE_S)


def test_a_race_over_grpc_measures_right_answers(workshop: Workshop, tmp_path: Path) -> None:
    place = workshop.place(tmp_path, profile=SHORT_GRPC, variants="ort-fp32")
    ended = place.run(place.race_words())
    # Two blocks of a second are too few for a verdict.
    assert ended.code == 6, ended.err
    found = records(place.folder)
    assert {record.phase for record in found} >= {"offline", "hold"}
    for record in found:
        assert record.target.protocol == "grpc"
        assert set(record.codes) <= {"200", "0", "-1"}
        assert record.wrong == 0
        assert record.answered > 0
        # Each request left once: counted where it left, and not where it was planned.
        assert record.generator.http_requests == record.sent
        (protocol,) = {name.split()[0] for name in record.server["after"]["requests"]}  # type: ignore[index, union-attr, call-overload]
        assert "grpc" in protocol
    assert not place.processes()
