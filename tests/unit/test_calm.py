from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.calm import Calm, taken_share


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "proc").mkdir()
    return tmp_path


def counted(root: Path, *, stolen: int, used: int) -> None:
    """Write the kernel's counters of core 0, in hundredths of a second."""
    (root / "proc/stat").write_text(f"cpu0 {used} 0 0 99 0 0 0 {stolen} 0 0\n")


class Host:
    """A host that takes the given shares, one a look; it says nothing more afterwards."""

    def __init__(self, root: Path, *shares: float | None, patience_s: float = 100.0) -> None:
        self.looks: Iterator[float | None] = iter(shares)
        self.said: list[str] = []
        self.pauses: list[float] = []
        self.root = root
        self.calm = Calm(
            {0}, patience_s, self.said.append, look=lambda _: next(self.looks), pause=self.pauses.append, root=root
        )

    def run(self, *, stolen: int) -> None:
        """Play a run of a second in which the host took that many hundredths of what the core had to do."""
        counted(self.root, stolen=0, used=0)
        with self.calm.around():
            counted(self.root, stolen=stolen, used=100 - stolen)


def test_a_run_after_a_disturbed_one_waits_until_the_host_is_quiet_twice(root: Path) -> None:
    host = Host(root, 0.3, 0.2, 0.01, 0.4, 0.02, 0.0)
    host.run(stolen=30)
    assert host.pauses == []
    host.run(stolen=0)
    assert len(host.pauses) == 5
    assert host.calm.waited_s == pytest.approx(5.0, abs=0.5)
    assert host.said == ["this machine's host takes 30% of its cores: waiting for it, at most 30 s"]
    host.run(stolen=0)
    assert len(host.pauses) == 5


def test_nothing_is_waited_for_where_the_host_took_little_or_has_gone_again(root: Path) -> None:
    host = Host(root, 0.01)
    host.run(stolen=4)
    host.run(stolen=50)
    host.run(stolen=0)
    assert (host.pauses, host.said, host.calm.waited_s) == ([], [], 0.0)


def test_patience_ends_for_one_wait_and_for_all(root: Path) -> None:
    host = Host(root, *[0.5] * 100, patience_s=40.0)
    for _ in range(4):
        host.run(stolen=50)
    assert len(host.pauses) == pytest.approx(40, abs=1)
    assert [text.rsplit("at most ")[1] for text in host.said] == ["30 s", "10 s"]


def test_a_kernel_that_does_not_count_is_not_waited_for(tmp_path: Path) -> None:
    host = Host(tmp_path)
    for _ in range(3):
        with host.calm.around():
            pass
    assert host.pauses == []
    assert taken_share((), 0.0, tmp_path) is None


def test_an_error_of_a_run_goes_through(root: Path) -> None:
    calm = Calm((), 10, print, root=root)
    with pytest.raises(ValueError, match="of the run"), calm.around():
        raise ValueError("of the run")


def test_a_core_is_kept_busy_while_it_is_looked_at() -> None:
    share = taken_share({0}, 0.1)
    assert share is None or 0 <= share <= 1
