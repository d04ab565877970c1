"""Where a served model comes from: an artifact with a manifest, or a bare model file.

An origin knows how to describe the model to the front ends and how to make its engine. An artifact is
described by its manifest at once; of a bare file nothing is known until the engine has read it.
"""

from pathlib import Path
from typing import Protocol

from predictors.bare import BareFile, find_bare
from predictors.fingerprint import environment, fingerprint
from predictors.manifest import read_variant
from predictors.measured import Batching, read_measured
from predictors.runtimes import import_engine
from predictors.server.bare import OpenedBare, open_bare, warm_bare
from predictors.server.loading import Engine, build_preprocessing, load_engine
from predictors.server.model import ServedModel
from predictors.server.settings import NO_KEYS, Settings
from predictors.signature import SignatureError, check_signature
from predictors.store import Store, StoredVariant, default_store

__all__ = ["ArtifactOrigin", "BareOrigin", "Origin", "find_origin", "recorded_workers"]


class Origin(Protocol):
    """What can be served."""

    @property
    def model(self) -> ServedModel | None:
        """The model, where it is known without an engine."""
        ...

    def import_engine(self) -> None:
        """Import the engine and load nothing, which is done before the server's processes are forked.

        Raises:
            ArtifactError: It is not installed.
        """
        ...

    def open(self) -> ServedModel:
        """Learn what the model takes and gives; this may load it, so it runs in the engine's thread.

        Raises:
            ArtifactError: It is refused.
        """
        ...

    def load(self) -> Engine:
        """Check the model and warm its engine, in the engine's thread, after `open`.

        Raises:
            ArtifactError: It is refused.
        """
        ...


class ArtifactOrigin:
    """A variant in the store or in a folder of its own."""

    def __init__(self, stored: StoredVariant, settings: Settings) -> None:
        variant = read_variant(stored.folder)
        self._folder = stored.folder
        self._variant = variant
        self._settings = settings
        self.model: ServedModel = ServedModel(
            name=settings.model_name or variant.model.name,
            version=variant.model.version,
            address=stored.address,
            variant=variant,
            preprocessing=build_preprocessing(variant),
            max_items=settings.max_batch,
        )

    def import_engine(self) -> None:
        """Import what the manifest names."""
        import_engine(self._variant.runtime.name, self._variant.id)

    def open(self) -> ServedModel:
        """Return what the manifest says."""
        return self.model

    def load(self) -> Engine:
        """Check digests and golden answers, and run every batch shape."""
        settings = self._settings
        return load_engine(
            self._folder,
            self._variant,
            threads=settings.threads,
            max_batch=settings.max_batch,
            gather=settings.gather or self._recorded_gather(),
            warm=settings.warm,
        )

    def _recorded_gather(self) -> int | None:
        """Read the batch size that `podium benchmark` found to pay on this kind of machine."""
        batching = _recorded(self._folder, self._settings)
        return batching.max_batch if batching is not None else None


class BareOrigin:
    """A model file without a manifest."""

    def __init__(self, file: BareFile, settings: Settings) -> None:
        self.model: ServedModel | None = None
        self._file = file
        self._settings = settings
        self._opened: OpenedBare | None = None

    def import_engine(self) -> None:
        """Import what reads such a file."""
        import_engine(self._file.engine, self._file.path.name)

    def open(self) -> ServedModel:
        """Load the file, read its tensors off the graph, and run it on zeros."""
        settings = self._settings
        name = settings.model_name or self._file.name
        opened = self._opened = open_bare(self._file, name=name, threads=settings.threads)
        self.model = ServedModel(
            name=name,
            version="1",
            address=self._file.address(),
            variant=opened.model,
            preprocessing=None,
            max_items=settings.max_batch,
        )
        return self.model

    def load(self) -> Engine:
        """Run every batch shape."""
        if self._opened is None:
            raise RuntimeError("a bare model was loaded before it was opened")
        settings = self._settings
        return warm_bare(self._opened, max_batch=settings.max_batch, gather=settings.gather, warm=settings.warm)


def recorded_workers(settings: Settings) -> int:
    """Return the engines that `podium benchmark` found to pay for this CPU share on this kind of machine, or 1.

    It is 1 too where several processes cannot serve what is asked for: a bare model, keys, Ray, too small a queue.

    Raises:
        ArtifactError: There is nothing of that name.
    """
    most = min(int(settings.cpus or 1), settings.queue, settings.connections)
    # First, so that the start of a server that has one core reads nothing twice.
    if most < 2 or settings.keys != NO_KEYS or find_bare(settings.variant) is not None:
        return 1
    folder = _stored(settings).folder
    batching = _recorded(folder, settings)
    if batching is None or read_variant(folder).runtime.name == "ray":
        return 1
    return batching.instances if batching.instances <= most else 1


def _stored(settings: Settings) -> StoredVariant:
    return Store(Path(settings.store) if settings.store else default_store()).find(settings.variant)


def _recorded(folder: Path, settings: Settings) -> Batching | None:
    where = fingerprint(environment(settings.node_class, settings.cpus or 1.0))
    return read_measured(folder, where).batching


def find_origin(settings: Settings) -> Origin:
    """Find what the settings ask to serve: a bare file or a folder that holds just one, else a variant.

    Raises:
        ArtifactError: There is nothing of that name, it cannot be told which file is meant, or nobody vouches for it.
    """
    bare = find_bare(settings.variant)
    if bare is not None and settings.verify_key:
        raise SignatureError(
            "unsigned", f"{settings.variant} is a bare model file", "build a variant of it, and sign that"
        )
    if bare is not None:
        return BareOrigin(bare, settings)
    stored = _stored(settings)
    if settings.verify_key:
        check_signature(stored.folder, settings.verify_key, least_version=settings.least_version)
    return ArtifactOrigin(stored, settings)
