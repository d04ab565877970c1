"""`podium sign`: vouch for an artifact, so that servers can refuse what nobody vouched for."""

from pathlib import Path
from typing import Annotated

import typer

from podium.console import Output

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(epilog="Example: podium sign --make-key platform.pem")
    def sign(
        variant: Annotated[str | None, typer.Argument(help="Variant id, id@address, or artifact folder.")] = None,
        key: Annotated[Path | None, typer.Option(help="Ed25519 key in PEM, without a password.")] = None,
        version: Annotated[
            int | None, typer.Option(min=1, help="Of this artifact.", show_default="one more than signed before, or 1")
        ] = None,
        make_key: Annotated[Path | None, typer.Option("--make-key", help="Make a new key at this place.")] = None,
        output: Annotated[Output, typer.Option("-o", "--output", help="How to print.")] = Output.TABLE,
        store: Annotated[Path | None, typer.Option(help="Artifact store; the default is PODIUM_STORE.")] = None,
    ) -> None:
        """Sign an artifact offline, or make the key for it.

        What is printed as KEY is for `podium serve --verify-key` and the chart's `verification.key`: it checks and
        cannot sign. Sign before an artifact goes to a cluster's store.
        """
        from podium.console import print_document, print_styled, print_table
        from podium.errors import UsageError
        from predictors import signature
        from predictors.store import Store, default_store

        if make_key is not None:
            if variant is not None or key is not None or version is not None:
                raise UsageError("--make-key makes a key and signs nothing", "sign with it afterwards: --key FILE")
            public = signature.make_key(make_key)
            if output is Output.TABLE:
                print_styled(public)
            else:
                print_document({"key": public, "file": str(make_key)}, output)
            return
        if variant is None or key is None:
            raise UsageError("a variant and --key say what is signed with what", "podium sign VARIANT --key KEY.pem")
        known = Store(store or default_store())
        stored = known.find(variant)
        chosen = version or signature.next_version(stored.id, (stored.folder, *known.folders()))
        signed, public = signature.sign(stored.folder, key, version=chosen)
        if output is not Output.TABLE:
            document = signed.model_dump(by_alias=True)
            print_document({**document, "key": public, "folder": str(stored.folder)}, output)
            return
        row = (signed.id, signed.address[:12], str(signed.version), public)
        print_table(("VARIANT", "ADDRESS", "VERSION", "KEY"), [row], right={"VERSION"})
