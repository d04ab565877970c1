"""`podium watch`: what serves, live: rate, errors, latencies, what waits, and replicas."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from podium.console import Output, print_document, print_styled, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podium.watch.look import Place
    from podium.watch.window import Row

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(epilog="Example: podium watch food11 -n podium --once -o json")
    def watch(
        name: Annotated[
            str | None, typer.Argument(help="InferenceService; the default is all of the namespace.")
        ] = None,
        url: Annotated[
            str | None, typer.Option(help="A server of this machine instead: http://127.0.0.1:8080.")
        ] = None,
        window: Annotated[str, typer.Option(help="What rates and percentiles are of, as in 30s.")] = "10s",
        interval: Annotated[str, typer.Option(help="How often to look.")] = "2s",
        once: Annotated[bool, typer.Option("--once", help="One window, then end.")] = False,
        namespace: Annotated[
            str | None, typer.Option("-n", "--namespace", help="Namespace; the default is the context's.")
        ] = None,
        context: Annotated[str | None, typer.Option(help="Context of the kubeconfig.")] = None,
        kubeconfig: Annotated[Path | None, typer.Option(help="The kubeconfig file.")] = None,
        output: Annotated[
            Output, typer.Option("-o", "--output", help="How to print; json is one document a look.")
        ] = Output.TABLE,
    ) -> None:
        """Show what serves, from the servers' own metrics, until Ctrl-C.

        Rates, errors and percentiles are of the last window, as the servers saw them: time in a proxy or the network
        is not in them, and a percentile beyond the last bucket is that bucket's edge. BURN is how many times as fast
        as the objective (--slo of podium serve and podium deploy) allows its budget is spent; 1 spends exactly that.

        Pods are read at port 8082 through the API server. Where a NetworkPolicy holds, let its address in
        (networkPolicy.metricsFrom of the chart variant), or forward the port and name it by --url.
        """
        window_s, interval_s = _lengths(window, interval)
        place = _place(name, url, namespace, context, kubeconfig)
        if once:
            _print(_one(place, window_s), output)
            return
        try:
            _follow(place, window_s, interval_s, output)
        except KeyboardInterrupt:
            # That is how it is meant to end.
            return


def _place(
    name: str | None, url: str | None, namespace: str | None, context: str | None, kubeconfig: Path | None
) -> "Place":
    from podium.errors import UsageError

    if url is None:
        from podium.cluster.access import Access
        from podium.cluster.adapter import Cluster
        from podium.watch.namespace import NamespacePlace

        return NamespacePlace(Cluster.connect(Access(kubeconfig, context, namespace)), name)
    if name or namespace or context or kubeconfig:
        raise UsageError("--url names a server, and the rest one on a cluster", "give one of them")
    from podium.watch.server import ServerPlace

    return ServerPlace(url)


def _lengths(window: str, interval: str) -> tuple[float, float]:
    from podium.errors import UsageError
    from podium.quantities import parse_duration

    window_s, interval_s = parse_duration(window), parse_duration(interval)
    if not 0.1 <= interval_s <= 60:
        raise UsageError(f"--interval {interval} is not between 100ms and 60s", "write for example 2s")
    if not 0.1 <= window_s <= 3600:
        raise UsageError(f"--window {window} is not between 100ms and 1h", "write for example 30s")
    return window_s, interval_s


def _one(place: "Place", window_s: float) -> "Sequence[Row]":
    from podium.watch.window import compare

    before = place.look()
    time.sleep(window_s)
    return compare(before, place.look())


def _follow(place: "Place", window_s: float, interval_s: float, output: Output) -> None:
    from podium.errors import MachineError
    from podium.exits import printable
    from podium.watch import screen
    from podium.watch.window import Window

    looks = Window(window_s)
    rows: Sequence[Row] = looks.add(place.look())
    if output is Output.TABLE and sys.stdout.isatty():
        with screen.live(place.title) as draw:
            fault = ""
            while True:
                draw(rows, fault)
                time.sleep(interval_s)
                try:
                    rows, fault = looks.add(place.look()), ""
                except MachineError as error:
                    # What was seen last stays, with the reason why nothing newer is.
                    fault = str(error)
    while True:
        # What was seen last is no news where nothing newer is.
        if rows:
            _print(rows, output)
            sys.stdout.flush()
        time.sleep(interval_s)
        try:
            rows = looks.add(place.look())
        except MachineError as error:
            rows = ()
            typer.echo(printable(str(error)), err=True)


def _print(rows: "Sequence[Row]", output: Output) -> None:
    from podium.watch import screen

    if output is not Output.TABLE:
        print_document(screen.document(rows), output)
        return
    print_table(screen.COLUMNS, [screen.cells(row) for row in rows], right=set(screen.COLUMNS[2:]))
    for text in screen.notes(rows):
        print_styled(text)
