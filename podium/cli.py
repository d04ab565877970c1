"""The `podium` program: finds the commands, runs one, and ends with the exit code of its outcome.

No command is defined here. Every module of `podium.commands` registers one, so a new command is a new file.
Where the first word names a module, only that one is imported.
"""

import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from loadtest import interrupt
from podium import commands, exits
from podium.errors import MachineError

__all__ = ["build_app", "main"]


def build_app(wanted: str | None = None) -> typer.Typer:
    """Return the application with every command, or only with `wanted` where a module has that name."""
    app = typer.Typer(
        name="podium",
        help="Build a model's variants, serve and load-test each, and find the one that meets the objective.",
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(help=app.info.help, epilog="Example: podium race -f examples/food11.yaml --dry-run")(_options)
    names = sorted(module.name for module in pkgutil.iter_modules(commands.__path__))
    for name in [wanted] if wanted in names else names:
        importlib.import_module(f"podium.commands.{name}").register(app)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with the code of `contracts.md`, section 7."""
    sys.excepthook = exits.report_bug
    # Whoever ends a command from outside means what Ctrl-C means: end what was started, leave nothing half.
    interrupt.as_exception()
    # A sign that the terminal's encoding lacks must not cost what a race measured.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:] if arguments is None else arguments, program=_program_name()))


def run(arguments: Sequence[str], program: str = "podium") -> int:
    """Run one command and return its exit code; a bug leaves as the exception that it is."""
    wanted = next((word for word in arguments if not word.startswith("-")), None)
    try:
        command = typer.main.get_command(build_app(wanted))
        result = command.main(list(arguments) or ["--help"], prog_name=program, standalone_mode=False)
    except typer.Abort:
        return exits.INTERRUPTED
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else program
        exits.show(_one_sentence(error.format_message()), f"{path} --help")
        return exits.USAGE
    except SystemExit as ended:
        # typer ends so when whoever read the output has seen enough, which is no fault of ours.
        if isinstance(ended.__context__, BrokenPipeError):
            return 0
        raise
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except exits.KNOWN as error:
        ending = exits.exit_of(error)
        if ending is None:
            raise
        exits.show_trace(error)
        exits.show(ending.sentence, ending.hint)
        return ending.code
    _flush()
    return result if isinstance(result, int) else 0


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered would fail once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import PackageNotFoundError, version

        try:
            sys.stdout.write(f"podium {version('podium')}\n")
        except PackageNotFoundError as error:
            raise MachineError("podium runs from a folder and is not installed", "./scripts/setup") from error
        raise typer.Exit


_Version = Annotated[
    bool,
    typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version),
]


def _options(version: _Version = False) -> None:
    pass


def _program_name() -> str:
    name = Path(sys.argv[0]).name
    return "kubectl podium" if name.startswith("kubectl-podium") else "podium"


def _one_sentence(message: str) -> str:
    # typer passes on what pydantic puts before the reason.
    text = " ".join(message.split()).rstrip(".").replace("Value error, ", "")
    return text[:1].lower() + text[1:]
