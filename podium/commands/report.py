"""`podium report`: make the report of a race from its files, as a page, for a pull request, or as data."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


class Format(StrEnum):
    """What the report is made as."""

    HTML = "html"
    MARKDOWN = "markdown"
    CSV = "csv"
    PARQUET = "parquet"
    SVG = "svg"
    PNG = "png"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(epilog="Example: podium report latest --out food11.html")
    def report(
        race: Annotated[str, typer.Argument(help="A race's id, its folder, or `latest`.")] = "latest",
        out: Annotated[Path | None, typer.Option(help="Where to write it: a file, or for pictures a folder.")] = None,
        form: Annotated[
            Format, typer.Option("--format", help="A page, Markdown (printed without --out), tables, or pictures.")
        ] = Format.HTML,
        runs: Annotated[Path, typer.Option(help="Where races are kept.")] = Path("runs"),
        store: Annotated[Path | None, typer.Option(help="Artifact store; the default is PODIUM_STORE.")] = None,
    ) -> int:
        """Write the report of a race: one file that opens without a network.

        Tables are two files, one row a variant and one row a run; notebooks read both with
        `podium.resultrows.load_results`. PNG needs Chromium on the path, all else nothing. A race of an older release
        is completed from the store, as far as its artifacts are still there.
        """
        from podium.report.unfinished import find_any, race_of

        folder = find_any(race, runs)
        if form is Format.HTML:
            from podium.report import render_report

            _complete(folder, store)
            typer.echo(render_report(folder, out))
        elif form is Format.MARKDOWN:
            from podium.report.markdown import markdown_text

            text = markdown_text(race_of(folder))
            if out is None:
                typer.echo(text, nl=False)
            else:
                _write(out, text.encode())
        elif form in (Format.CSV, Format.PARQUET):
            _tables(folder, form, out)
        else:
            _complete(folder, store)
            _pictures(folder, out or folder / "pictures", as_png=form is Format.PNG)
        return 0


def _complete(folder: Path, store: Path | None) -> None:
    """Gather what a race of an older release did not keep of its artifacts; a folder that is read only stays so."""
    from contextlib import suppress

    from podium.dossier import classes_of, gather, read_dossier, write_dossier
    from podium.errors import MachineError
    from podium.racefile import read_race
    from podium.report.unfinished import is_finished
    from predictors.store import Store, default_store

    if not is_finished(folder) or read_dossier(folder) is not None:
        return
    race = read_race(folder)
    found = gather(race, Store(store or default_store()), classes_of(race))
    if found.artifacts:
        with suppress(MachineError):
            write_dossier(folder, found)


def _tables(folder: Path, form: Format, out: Path | None) -> None:
    from podium.parquet import parquet_bytes
    from podium.report.unfinished import race_of
    from podium.resultrows import csv_text, run_rows, variant_rows

    race = race_of(folder)
    first = out or folder / f"variants.{form}"
    second = first.with_name(f"{first.stem}-runs{first.suffix}") if out else folder / f"runs.{form}"
    for path, rows in ((first, variant_rows(race)), (second, run_rows(folder, race))):
        _write(path, csv_text(rows).encode() if form is Format.CSV else parquet_bytes(rows))


def _pictures(folder: Path, place: Path, *, as_png: bool) -> None:
    from podium.report.gallery import draw_pictures

    drawn: Sequence[Path] = ()
    if as_png:
        from podium.raster import find_browser, to_png

        find_browser()
        drawn = to_png(draw_pictures(folder, place))
    else:
        drawn = draw_pictures(folder, place)
    for path in drawn:
        typer.echo(path)


def _write(path: Path, content: bytes) -> None:
    from podium.wholefile import write_whole

    write_whole(path, content, hint="name another file with --out")
    typer.echo(path)
