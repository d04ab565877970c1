"""Everything that can go wrong in this package, one class a meaning.

    PredictorError
    ├── CardError        the model card does not say what a card must
    ├── SourceError      the checkpoint or ONNX file is missing or is not the card's
    ├── DataError        the data are missing, empty or unreadable
    ├── BuildError       a recipe cannot be found or did not do its work
    ├── QualityError     predictions cannot be compared
    ├── ArtifactError    the artifact is missing, damaged or wrong
    │   └── ManifestError    its manifest was read and is not what this release understands
    ├── InputError       the request means nothing to the model (the field is named)
    ├── OverloadError    the queue is full
    ├── DeadlineError    the answer would come too late
    ├── NotReadyError    the model is not loaded yet, or takes no work any more
    ├── KeysError        the file of keys cannot be read, or a line of it is wrong
    ├── ListenError      this machine has no such address, or the port is not ours to take
    └── WorkerError      one of several server processes ended on its own, or says nothing

`str(error)` is one sentence; `hint` says what to do about it. Domain errors know nothing of HTTP, gRPC or
exit codes: tables at the edges translate.
"""

__all__ = [
    "ArtifactError",
    "BuildError",
    "CardError",
    "DataError",
    "DeadlineError",
    "InputError",
    "KeysError",
    "ListenError",
    "ManifestError",
    "NotReadyError",
    "OverloadError",
    "PredictorError",
    "QualityError",
    "SourceError",
    "WorkerError",
]


class PredictorError(Exception):
    """Root of the tree: a sentence and a remedy."""

    def __init__(self, sentence: str, hint: str = "") -> None:
        super().__init__(sentence)
        self.hint = hint

    def __str__(self) -> str:
        return str(self.args[0])


class CardError(PredictorError):
    """The model card is missing, unreadable or contradicts itself."""


class SourceError(PredictorError):
    """The weights or the ONNX file are missing, damaged or not those of the card."""


class DataError(PredictorError):
    """Training, calibration or test data are missing, empty or unreadable."""


class BuildError(PredictorError):
    """A variant is unknown, or a recipe did not do what it promises."""


class QualityError(PredictorError):
    """Two sets of predictions cannot be compared."""


class ArtifactError(PredictorError):
    """An artifact is missing, damaged, or gives wrong answers."""


class ManifestError(ArtifactError):
    """A manifest was read and does not hold; `is_newer` where it has what this release does not know."""

    def __init__(self, sentence: str, hint: str = "", *, is_newer: bool = False) -> None:
        super().__init__(sentence, hint)
        self.is_newer = is_newer


class InputError(PredictorError):
    """A request that the model cannot take; `field` names the part that is at fault."""

    def __init__(self, sentence: str, hint: str = "", *, field: str = "body") -> None:
        super().__init__(sentence, hint)
        self.field = field


class OverloadError(PredictorError):
    """No room in the queue; worth another try after `retry_after_s` seconds."""

    def __init__(self, sentence: str, hint: str = "", *, retry_after_s: float = 1.0) -> None:
        super().__init__(sentence, hint)
        self.retry_after_s = retry_after_s


class DeadlineError(PredictorError):
    """The deadline passed before the answer was there."""


class NotReadyError(PredictorError):
    """The model takes no requests now: it is still loading, or it is about to end."""


class KeysError(PredictorError):
    """The file that says who may ask cannot be read, contradicts itself, or has nobody in it."""


class ListenError(PredictorError):
    """The machine does not let a server listen where it should; nothing is wrong with the model."""


class WorkerError(PredictorError):
    """One of the processes of a server ended although nobody told it to, or does not answer the others."""
