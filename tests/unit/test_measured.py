"""Measured figures are merged part by part, and a damaged file is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from predictors.errors import ArtifactError
from predictors.measured import Batching, EnginePoint, Measured, MeasuredQuality, read_measured, write_measured

QUALITY = MeasuredQuality(metric="accuracy", value=0.9, low=0.88, high=0.92, n=1000, p_value=0.4, flips=3)
BATCHING = Batching(max_batch=4, delay_us=0, threads=1)


def point(batch: int, p50_ms: float, threads: int = 1) -> EnginePoint:
    figures: dict[str, Any] = {"low": p50_ms * 0.9, "high": p50_ms * 1.1}
    return EnginePoint(threads=threads, batch=batch, p50_ms=p50_ms, items_per_second=batch * 1e3 / p50_ms, **figures)


def test_nothing_is_known_before_the_first_measurement(tmp_path: Path) -> None:
    assert read_measured(tmp_path, "abc") == Measured()


def test_each_writer_keeps_what_the_others_wrote(tmp_path: Path) -> None:
    write_measured(tmp_path, "abc", quality=QUALITY)
    write_measured(tmp_path, "abc", engine=[point(1, 2.0)])
    write_measured(tmp_path, "abc", batching=BATCHING.model_dump())
    write_measured(tmp_path, "abc", forecast={"rate": 3})
    assert read_measured(tmp_path, "abc") == Measured(
        quality=QUALITY, engine=(point(1, 2.0),), batching=BATCHING, forecast={"rate": 3}
    )


def test_a_point_replaces_the_one_of_equal_threads_and_batch(tmp_path: Path) -> None:
    write_measured(tmp_path, "abc", engine=[point(4, 8.0), point(1, 2.0), point(1, 1.0, threads=2)])
    merged = write_measured(tmp_path, "abc", engine=[point(4, 6.0)])
    assert merged.engine == (point(1, 2.0), point(4, 6.0), point(1, 1.0, threads=2))


def test_machines_are_kept_apart(tmp_path: Path) -> None:
    write_measured(tmp_path, "abc", quality=QUALITY)
    assert read_measured(tmp_path, "def").quality is None


def test_no_temporary_file_stays(tmp_path: Path) -> None:
    write_measured(tmp_path, "abc", quality=QUALITY)
    assert [path.name for path in (tmp_path / "measured").iterdir()] == ["abc.json"]


def test_a_fingerprint_is_no_path(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is no fingerprint"):
        write_measured(tmp_path, "../abc", quality=QUALITY)


@pytest.mark.parametrize("text", ["", "{", '{"speed": 1}', '{"quality": {"metric": "a"}}'])
def test_a_damaged_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "measured").mkdir()
    (tmp_path / "measured" / "abc.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"abc\.json"):
        read_measured(tmp_path, "abc")


def test_an_older_release_reads_a_quality_without_what_it_does_not_know(tmp_path: Path) -> None:
    write_measured(tmp_path, "abc", quality=QUALITY)
    assert not {"fault", "largest_error"} & set(json.loads((tmp_path / "measured/abc.json").read_text())["quality"])
    write_measured(tmp_path, "abc", quality=QUALITY.model_copy(update={"largest_error": 0.5}))
    assert json.loads((tmp_path / "measured/abc.json").read_text())["quality"]["largest_error"] == 0.5
