"""The twenty broken models through the whole command, one after the other, with the good one after each."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.broken_models import broken_models
from tests.sources import card_text, stripes_data, stripes_graph


def taken_in(place: Path, model: bytes, card: str, to: str) -> tuple[int, str, float, int]:
    """Import a model; return exit code, what was said, processor seconds and the largest memory in KiB."""
    (place / "theirs.onnx").write_bytes(model)
    (place / "card.yaml").write_text(card, encoding="utf-8")
    words = ["import", str(place / "theirs.onnx"), "--card", str(place / "card.yaml"), "--to", str(place / to)]
    with (place / "said").open("w+") as said:
        process = subprocess.Popen([sys.executable, "-m", "podium", *words], stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, (place / "said").read_text(), used.ru_utime + used.ru_stime, used.ru_maxrss


@pytest.mark.timeout(600)
def test_every_broken_model_is_refused_at_little_cost_and_the_next_good_one_is_not(tmp_path: Path) -> None:
    stripes_data(tmp_path / "data", 1)
    good = stripes_graph().SerializeToString()
    names: list[str] = []
    for broken in broken_models():
        code, said, seconds, memory = taken_in(tmp_path, broken.model, broken.card, "none")
        assert code == 3, (broken.name, said)
        assert re.search(broken.words, said), (broken.name, said)
        assert seconds < 5, broken.name
        assert memory < 512 << 10, broken.name
        assert not (tmp_path / "none").exists()
        code, said, _, _ = taken_in(tmp_path, good, card_text(), f"good-{len(names)}")
        assert code == 0, (broken.name, said)
        names.append(broken.name)
    assert len(names) == 20
