"""`podium autoscale score` without its command line: what is wished in, a comparison and its page out."""

from __future__ import annotations

import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from podium.scoring.card import card_of
from podium.scoring.comparison import Comparison, compare
from podium.scoring.page import write_pages
from podium.scoring.record import ElasticRun, find_runs

if TYPE_CHECKING:
    from podium.cluster.access import Access
    from podium.scoring.question import Asked

__all__ = ["score_live", "score_records"]

# An API server that is being replaced is away for about a minute, which is no reason to end a session.
_PATIENCE_S = 90.0


def score_records(places: Sequence[Path], out: Path | None) -> tuple[Comparison, Path]:
    """Score what was recorded, and return the comparison and its page.

    Args:
        places: folders or files.
        out: folder of the pages; the first place's without.

    Raises:
        ConfigError: there is nothing, or what is there cannot be compared.
    """
    runs = find_runs(places)
    first = places[0] if places[0].is_dir() else places[0].parent
    return _compared(runs, out or first)


def score_live(asked: Asked, access: Access, *, fresh: bool, out: Path | None) -> tuple[Comparison, Path]:
    """Play what is left of the question, and return the comparison and its page.

    Args:
        asked: what is to be played.
        access: which cluster.
        fresh: begin anew even where the same question was interrupted.
        out: folder of the pages; the session's without.

    Raises:
        UsageError, ConfigError: something that a person wrote is refused; nothing was started.
        ClusterError: the cluster lacks something or went away; finished runs are kept.
        KeyboardInterrupt: after everything that was made is gone; finished runs are kept.
    """
    from podium.cluster.adapter import Cluster
    from podium.cluster.site import read_platform
    from podium.progress import RaceProgress
    from podium.scoring.question import ask
    from podium.scoring.session import play_session

    cluster = Cluster.connect(access, patience_s=_PATIENCE_S)
    try:
        with tempfile.TemporaryDirectory(prefix="podium-payloads-") as folder:
            question = ask(asked, site=read_platform(cluster).site, folder=Path(folder))
            progress = RaceProgress()
            session, runs = play_session(
                question,
                cluster,
                runs=asked.runs,
                fresh=fresh,
                command=shlex.join(["podium", *sys.argv[1:]]),
                say=progress.note,
            )
    finally:
        cluster.close()
    return _compared(runs, out or session)


def _compared(runs: Sequence[ElasticRun], out: Path) -> tuple[Comparison, Path]:
    comparison = compare([card_of(run) for run in runs])
    return comparison, write_pages(out, comparison)
