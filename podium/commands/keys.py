"""`podium keys`: make the keys by which servers know who asks."""

from pathlib import Path
from typing import Annotated

import typer

from podium.console import Output

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    group = typer.Typer(help="Make the keys that a server asks for (podium serve --keys FILE).", no_args_is_help=True)
    group.callback()(_keys)
    group.command(epilog="Example: podium keys new vision --key-file vision.key --rate 50/s --in-flight 8")(new)
    app.add_typer(group, name="keys", epilog="Example: podium keys new vision --key-file vision.key")


def _keys() -> None:
    # With a single command and no callback, typer would take the command for the group.
    pass


def new(
    tenant: Annotated[str, typer.Argument(help="Whose key it is; a label of metrics.")],
    key_file: Annotated[
        Path | None, typer.Option("--key-file", help="New file for the key, readable by you only.")
    ] = None,
    rate: Annotated[str | None, typer.Option(help="Requests a second of all keys of the tenant, as 50/s.")] = None,
    in_flight: Annotated[
        int | None, typer.Option("--in-flight", min=1, max=999_999, help="Requests at once of all keys of the tenant.")
    ] = None,
    not_after: Annotated[
        str | None, typer.Option("--not-after", help="When the key ends, as 2027-06-30T00:00:00Z.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("-f", "--file", help="File of keys to add the line to; made where there is none.")
    ] = None,
    secret: Annotated[str, typer.Option(help="Name of the Secret of -o yaml.")] = "podium-keys",  # noqa: S107
    output: Annotated[Output, typer.Option("-o", "--output", help="yaml: a Secret with the lines.")] = Output.TABLE,
) -> None:
    """Make a key for a tenant, and the line by which servers know it.

    The line goes to standard output, and with -f to a file: it holds the hash of the key and lets nobody in. The key
    is shown once, on the terminal and nowhere else, or with --key-file written to a file; nobody can find it out
    again. A tenant may have several keys at once: add the new one, hand it out, take the old line away.
    """
    import sys

    from podium.console import Json, print_document, print_styled
    from podium.errors import UsageError
    from podium.secretfile import write_secret
    from podium.wholefile import write_whole
    from predictors.server.keys import line_of, new_key, read_keys

    if key_file is None and not sys.stderr.isatty():
        raise UsageError("there is no terminal to show the key on, and a log would keep it", "add --key-file FILE")
    key = new_key()
    most = None if in_flight is None else str(in_flight)
    line = line_of(tenant, key, rate=rate, in_flight=most, not_after=not_after)
    before = file.read_bytes() if file is not None and file.exists() else b""
    lines = b"".join((before.rstrip(), b"\n" if before else b"", line.encode("ascii"), b"\n"))
    read_keys(lines)
    # The key first: a line whose key is lost is of no use, and a key without its line is known to nobody.
    if key_file is not None:
        write_secret(key_file, key)
    else:
        sys.stderr.write(f"the key of {tenant}, shown once: {key}\n")
    if file is not None:
        write_whole(file, lines)
    if output is Output.YAML:
        told: Json = {"keys": lines.decode("ascii")}
        print_document({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret}, "stringData": told}, output)
    elif output is Output.JSON:
        print_document(
            {"tenant": tenant, "line": line, "key_file": None if key_file is None else str(key_file)}, output
        )
    else:
        print_styled(line)
