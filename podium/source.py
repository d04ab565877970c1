"""Where a model's files are: a storageUri, spelled as KServe spells it, turned into a folder of this machine.

Nothing is fetched. The local target reads `file://` and, below the folder of `--models`, `pvc://`; for any
other scheme it says so.
"""

from pathlib import Path, PurePosixPath

from podium.document import nearest
from podium.errors import ConfigError

__all__ = ["SCHEMES", "locate"]

# https://kserve.github.io/website/docs/model-serving/storage/overview
SCHEMES = ("file", "pvc", "oci", "hf", "s3", "gs", "https", "http", "azure", "hdfs", "webhdfs")
_FORM = "write file://FOLDER (relative to the submission) or pvc://NAME/FOLDER"


def locate(uri: str, submission_folder: Path, models_dir: Path) -> Path:
    """Return the existing folder that `uri` names.

    Raises:
        ConfigError: the scheme is unknown or not readable here, or the folder does not exist.
    """
    scheme, colon, rest = uri.partition("://")
    if not colon or not rest or "\0" in uri:
        raise ConfigError(f"{uri!r} is not a URI", _FORM)
    if scheme not in SCHEMES:
        raise ConfigError(f"{uri!r} has the unknown scheme {scheme!r}", nearest(scheme, SCHEMES))
    if scheme == "file":
        return _folder(uri, submission_folder / rest, f"put the model and its model.yaml there: {_FORM}")
    if scheme == "pvc":
        return _claimed(uri, rest, models_dir)
    raise ConfigError(f"{uri!r} cannot be read by the local target", f"copy the model to a folder, then {_FORM}")


def _claimed(uri: str, rest: str, models_dir: Path) -> Path:
    path = PurePosixPath(rest)
    if path.is_absolute() or ".." in path.parts:
        raise ConfigError(f"{uri!r} leaves its claim", "write pvc://NAME/FOLDER without ..")
    folder = _folder(uri, models_dir / path, f"copy the claim's files to {models_dir / path}, or give --models DIR")
    if not folder.is_relative_to(models_dir.resolve()):
        raise ConfigError(f"{uri!r} is a link that leads out of {models_dir}", "copy the files instead")
    return folder


def _folder(uri: str, path: Path, hint: str) -> Path:
    try:
        if path.is_dir():
            return path.resolve()
        reason = "is not a folder" if path.exists() else "does not exist"
    except OSError as error:
        raise ConfigError(f"{uri!r} cannot be followed: {error.strerror}", hint) from error
    raise ConfigError(f"{uri!r} names {path}, which {reason}", hint)
