"""The results of a race as flat rows, for CSV, Parquet and notebooks: one a variant, or one a run.

Column names are the paths of the fields in `race.json` and in the run records, joined by underscores; units stand in
the names as they do there. What was not measured is None, never zero.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import JsonValue

from loadtest.errors import RecordError
from loadtest.records import read_record
from podium.parquet import Value
from podium.racefile import Race, find_race, read_race

__all__ = ["Row", "csv_text", "load_results", "run_rows", "variant_rows"]

Row: TypeAlias = "dict[str, Value]"

# Long parts of an entry that have rows, files or pictures of their own.
_LEFT_OUT = {"runs", "passport", "clauses", "probes", "proxy_tax"}
_RUN_LEFT_OUT = {"series", "server", "passport", "codes", "schema", "generator", "target"}


def load_results(
    race: str | Path = "latest", *, runs: str | Path = "runs", of: Literal["variants", "runs"] = "variants"
) -> list[Row]:
    """Return the results of a race for a notebook: `pandas.DataFrame(load_results())`.

    Args:
        race: a race's id, its folder, or `latest`.
        runs: where races are kept.
        of: one row a variant with what was judged of it, or one row a run with its percentiles.

    Raises:
        RaceError: there is no such race, or its `race.json` cannot be read.
    """
    folder = find_race(str(race), Path(runs))
    found = read_race(folder)
    return variant_rows(found) if of == "variants" else run_rows(folder, found)


def variant_rows(race: Race) -> list[Row]:
    """Return one row a variant and node class, in the order of the race."""
    rows = []
    for entry in race.variants:
        row: Row = _of_race(race)
        row |= {"is_winner": race.winner == entry.key, "fingerprint": race.fingerprints.get(entry.node_class)}
        row |= _flat(entry.model_dump(mode="json", exclude=_LEFT_OUT))
        for clause in entry.clauses:
            name = clause.text.partition("<")[0].partition(">")[0]
            row |= {
                f"{name}_verdict": clause.status,
                f"{name}_value": clause.value,
                f"{name}_unit": clause.unit or None,
            }
        rows.append(row)
    return rows


def run_rows(folder: Path, race: Race) -> list[Row]:
    """Return one row a run that can be read, variant by variant, void ones too."""
    return [row for entry in race.variants for path in entry.runs for row in _run_row(folder / path, path, race)]


def csv_text(rows: Sequence[Mapping[str, Value]]) -> str:
    """Return rows as CSV with a heading; an empty cell is a missing value.

    A text that a spreadsheet would take for a formula is quoted by an apostrophe.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _harmless(value) for name, value in row.items()})
    return out.getvalue()


def _run_row(path: Path, name: str, race: Race) -> Iterator[Row]:
    try:
        record = read_record(path)
    except RecordError:
        return
    found = record.model_dump(mode="json", by_alias=True, exclude=_RUN_LEFT_OUT)
    generator = {"generator_tool": record.generator.tool, "generator_version": record.generator.version}
    yield {**_of_race(race), "file": name, **_flat(found), **generator, "protocol": record.target.protocol}


def _of_race(race: Race) -> Row:
    return {
        "race_id": race.race_id,
        "model": race.model,
        "target": race.target,
        "level": race.level,
        "slo": race.slo,
        "started": race.started,
    }


def _flat(document: Mapping[str, JsonValue], prefix: str = "") -> Row:
    row: Row = {}
    for key, value in document.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            row |= _flat(value, f"{name}_")
        elif isinstance(value, list):
            row[name] = "; ".join(map(str, value)) or None
        else:
            row[name] = value
    return row


def _harmless(value: Value) -> Value:
    return f"'{value}" if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"} else value
