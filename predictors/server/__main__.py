"""`python -m predictors.server`: the server without the command line tool, as images start it."""

import argparse
import os
import sys
from collections.abc import Sequence

from predictors.errors import ListenError, PredictorError, WorkerError
from predictors.server import logs, process
from predictors.server.settings import Settings, effective, flag_of

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m predictors.server", description="Serve one variant.")
    parser.add_argument("variant", nargs="?", help="variant id, id@address, artifact folder, or bare model file")
    for name, field in Settings.model_fields.items():
        if name != "variant":
            parser.add_argument(f"--{flag_of(name)}", dest=name, help=field.description)
    flags = vars(parser.parse_args(arguments))
    logs.configure()
    try:
        settings = effective(flags, os.environ)
        return process.run(settings)
    except PredictorError as error:
        sys.stderr.write(f"error: {error} ({error.hint})\n")
        return 4 if isinstance(error, ListenError | WorkerError) else 3
    except OSError as error:
        sys.stderr.write(f"error: {error.filename}: {error.strerror}\n")
        return 4


if __name__ == "__main__":
    sys.exit(main())
