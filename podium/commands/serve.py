"""`podium serve`: one variant behind HTTP, until it is told to stop."""

from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(epilog="Example: podium serve food11-ort-int8 --cpus 1 --http-port 8080")
    def serve(
        variant: Annotated[str, typer.Argument(help="Variant id, id@address, artifact folder, or bare model file.")],
        host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
        http_port: Annotated[int | None, typer.Option(help="V1 and V2; 0: a free one.", show_default="8080")] = None,
        grpc: Annotated[
            bool | None, typer.Option(help="V2 over gRPC too.", show_default="where protobuf is installed")
        ] = None,
        grpc_port: Annotated[int | None, typer.Option(help="V2 over gRPC; 0: a free one.", show_default="8081")] = None,
        metrics_port: Annotated[
            int | None, typer.Option(help="Metrics and state; 0: a free one.", show_default="8082")
        ] = None,
        cpus: Annotated[
            float | None,
            typer.Option(help="CPU share in cores; sets the threads.", show_default="control group's"),
        ] = None,
        workers: Annotated[
            int | None,
            typer.Option(
                help="Processes with an engine each, which share CPUs, queue, connections.",
                show_default="as podium benchmark found, else 1",
            ),
        ] = None,
        max_batch: Annotated[
            int | None, typer.Option(help="Most items in a request and in a batch.", show_default="8")
        ] = None,
        gather: Annotated[
            int | None,
            typer.Option(help="Most items gathered from several requests.", show_default="measured at start"),
        ] = None,
        max_delay: Annotated[
            str | None, typer.Option(help="How long a batch waits to fill, such as 2ms.", show_default="0s")
        ] = None,
        warm: Annotated[
            str | None, typer.Option(help="Batch sizes run before ready: auto, every, none.", show_default="auto")
        ] = None,
        queue: Annotated[
            int | None, typer.Option(help="Most items that wait; more get 503.", show_default="32")
        ] = None,
        connections: Annotated[int | None, typer.Option(help="Most open connections.", show_default="256")] = None,
        timeout: Annotated[
            str | None, typer.Option(help="Deadline where a request sets none.", show_default="30s")
        ] = None,
        pre_stop: Annotated[str | None, typer.Option(help="Time served on after SIGTERM.", show_default="0s")] = None,
        grace: Annotated[str | None, typer.Option(help="From SIGTERM to the end, at most.", show_default="30s")] = None,
        stall: Annotated[
            str | None, typer.Option(help="One batch takes longer: not ready; 3 x: not alive.", show_default="10s")
        ] = None,
        slo: Annotated[
            str | None, typer.Option(help="Objective to count against: p99<=100ms, errors<=1%.", show_default="none")
        ] = None,
        verify_key: Annotated[
            str | None, typer.Option(help="Serve only what this key vouches for: ed25519:….", show_default="none")
        ] = None,
        least_version: Annotated[
            int | None, typer.Option(help="Refuse what was signed as an older version.", show_default="0")
        ] = None,
        keys: Annotated[
            str | None, typer.Option(help="File of keys that requests must have, or none.", show_default="none")
        ] = None,
        model_name: Annotated[str | None, typer.Option(help="Name in URLs.", show_default="the model's")] = None,
        node_class: Annotated[str | None, typer.Option(help="Label of the metrics.", show_default="local")] = None,
        store: Annotated[
            str | None, typer.Option(help="Artifact store.", show_default="PODIUM_STORE or .podium/store")
        ] = None,
    ) -> int:
        """Serve a variant over V1 and V2, with metrics on a port of their own.

        It is ready once digests, golden answers and every batch shape have been checked, and says so in
        one line of JSON on stdout. A folder that holds no variant.yaml but exactly one model file (*.onnx, or
        *.xml with its *.bin) is served too, as "unverified" and over V2 only. SIGTERM lets it finish what it
        accepted. Each option has a form PREDICTOR_... in the environment.
        """
        import os

        from predictors.server import logs, process
        from predictors.server.settings import effective

        flags = {
            "variant": variant,
            "host": host,
            "http_port": http_port,
            "grpc": grpc,
            "grpc_port": grpc_port,
            "metrics_port": metrics_port,
            "cpus": cpus,
            "workers": workers,
            "max_batch": max_batch,
            "gather": gather,
            "max_delay_s": max_delay,
            "warm": warm,
            "queue": queue,
            "connections": connections,
            "timeout_s": timeout,
            "pre_stop_s": pre_stop,
            "grace_s": grace,
            "stall_s": stall,
            "slo": slo,
            "verify_key": verify_key,
            "least_version": least_version,
            "keys": keys,
            "model_name": model_name,
            "node_class": node_class,
            "store": store,
        }
        settings = effective(flags, os.environ)
        logs.configure()
        return process.run(settings)
