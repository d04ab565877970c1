"""Half an hour of random faults in pieces: what was seen is kept, so that a campaign that was interrupted goes on.

A piece is one run of `podium chaos` with a seed of its own, and its report is kept whatever it says: a loss is not
forgotten because somebody began again. What could not tell counts for no time. When a campaign is judged it is over,
and so is one of another commit; the next begins anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["PIECE_S", "Campaign", "problems", "summary"]

Report = Mapping[str, Any]
PIECE_S = 300.0
# Less would be over before each piece's first quiet time.
_SHORTEST_S = 60.0


class Campaign:
    """The pieces of one campaign, in a folder.

    Args:
        folder: where they are kept; the runs of `podium chaos` are in `runs` below it.
        total_s: seconds of faults that are asked for.
        commit: what is tested.
    """

    def __init__(self, folder: Path, *, total_s: float, commit: str) -> None:
        self._file = folder / "campaign.json"
        self.runs = folder / "runs"
        self._total_s = total_s
        self._commit = commit
        kept = json.loads(self._file.read_text(encoding="utf-8")) if self._file.is_file() else {}
        goes_on = kept.get("commit") == commit and not kept.get("is_judged")
        self.reports: list[Report] = kept["reports"] if goes_on else []
        self.goes_on = bool(self.reports)

    @property
    def left_s(self) -> float:
        """Return the seconds that are still to come."""
        seen = sum(one["probe"]["seconds"] for one in self.reports if one["status"] != "UNSETTLED")
        return max(0.0, self._total_s - float(seen))

    @property
    def is_over(self) -> bool:
        """Return whether nothing is to come: the time is over, or a promise is broken already."""
        return self.left_s < min(_SHORTEST_S, self._total_s) or any(one["status"] == "LOST" for one in self.reports)

    def next(self) -> tuple[int, float]:
        """Return seed and seconds of the next piece."""
        return len(self.reports) + 1, min(PIECE_S, max(_SHORTEST_S, self.left_s))

    def keep(self, report: Report) -> None:
        """Keep what a piece saw."""
        self.reports.append(report)
        self._write(is_judged=False)

    def judge(self) -> list[str]:
        """Return what was broken, and let the next campaign begin anew."""
        self._write(is_judged=True)
        return problems(self.reports)

    def unfinished(self) -> list[Path]:
        """Return the logs of runs that never came to an end, the last first."""
        logs = sorted(self.runs.glob("*/faults.jsonl"), key=lambda path: path.stat().st_mtime, reverse=True)
        return [path for path in logs if '"event": "over"' not in path.read_text(encoding="utf-8")]

    def _write(self, *, is_judged: bool) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        kept = {"commit": self._commit, "is_judged": is_judged, "reports": self.reports}
        draft = self._file.with_suffix(".draft")
        draft.write_text(json.dumps(kept, indent=1), encoding="utf-8")
        draft.replace(self._file)


def problems(reports: Sequence[Report]) -> list[str]:
    """Return which promises a campaign broke: a wrong label, a loss outside of all faults, what did not come back."""
    found = [] if any(one["status"] != "UNSETTLED" for one in reports) else ["no piece could tell"]
    return found + [f"seed {one['seed']}: {text}" for one in reports for text in _broken(one)]


def _broken(report: Report) -> list[str]:
    probe = report["probe"]
    found = [f"{probe['wrong']} wrong labels"] if probe["wrong"] else []
    if report["status"] == "UNSETTLED":
        return found
    if probe["lost_outside"]:
        found.append(f"{probe['lost_outside']} lost outside of all faults")
    found += [f"{row['kind']} {row['n']}: {row['missing']}" for row in report["faults"] if row["missing"]]
    return found or ([] if report["status"] == "HELD" else list(report["reasons"]))


def summary(reports: Sequence[Report]) -> str:
    """Return the figure of a campaign."""
    told = [one for one in reports if one["status"] != "UNSETTLED"]
    rows = [row for one in told for row in one["faults"]]
    slowest = max((row for row in rows if row["whole_after_s"] is not None), key=lambda row: row["whole_after_s"])
    total = {name: sum(one["probe"][name] for one in told) for name in ("planned_outside", "lost_inside")}
    return (
        f"{sum(one['probe']['seconds'] for one in told) / 60:.0f} min, {len(rows)} faults of "
        f"{len({row['kind'] for row in rows})} kinds; 0 of {total['planned_outside']:,} lost outside, "
        f"{total['lost_inside']} inside, 0 wrong; whole again after {slowest['whole_after_s']:.0f} s at most "
        f"({slowest['kind']})"
    )
