"""The errors of the tool. Exit codes are given to them at the edge, in `podium.exits`.

PodiumError
├── UsageError            the command line asks for something that does not exist or contradicts itself
│   └── AmbiguousError    a name means several things
├── ConfigError           something that a person wrote is refused
│   ├── QuantityError     a text is no amount or no duration
│   └── FileError         a file is refused: names file, line, value and the accepted form
│       ├── SubmissionError
│       └── NodeClassError
├── MachineError          this machine cannot do it: port in use, disk full, program missing
│   └── ClusterError      the cluster cannot do it
└── ObjectiveError        everything ran, and the objective is not met
    ├── NoWinnerError     every variant failed or was rejected
    └── UnsettledError    no winner, and something is inconclusive or void
"""

__all__ = [
    "AmbiguousError",
    "ClusterError",
    "ConfigError",
    "FileError",
    "MachineError",
    "NoWinnerError",
    "NodeClassError",
    "ObjectiveError",
    "PodiumError",
    "QuantityError",
    "SubmissionError",
    "UnsettledError",
    "UsageError",
]


class PodiumError(Exception):
    """An error with one sentence for the person at the terminal and a remedy that can be pasted.

    Attributes:
        hint: the remedy, or an empty string.
    """

    def __init__(self, sentence: str, hint: str = "") -> None:
        super().__init__(sentence)
        self.hint = hint


class UsageError(PodiumError):
    """The command line asks for something that does not exist or contradicts itself."""


class AmbiguousError(UsageError):
    """A name means several things, and one of them has to be named."""


class ConfigError(PodiumError):
    """Something that a person wrote is refused."""


class QuantityError(ConfigError, ValueError):
    """A text is no amount or no duration; also a ValueError, so that pydantic reports its field."""


class FileError(ConfigError):
    """A file that a person wrote is refused.

    Attributes:
        place: the file, with `:line` where one line is at fault.
    """

    def __init__(self, place: str, sentence: str, hint: str = "") -> None:
        super().__init__(f"{place}: {sentence}", hint)
        self.place = place


class SubmissionError(FileError):
    """The submission is refused."""


class NodeClassError(FileError):
    """A node class is unknown or its file is refused."""


class MachineError(PodiumError):
    """This machine cannot do it: port in use, disk full, program missing."""


class ClusterError(MachineError):
    """The cluster cannot do it."""


class ObjectiveError(PodiumError):
    """Everything ran, and the objective is not met."""


class NoWinnerError(ObjectiveError):
    """Every variant that counts failed its objective or was rejected for its quality."""


class UnsettledError(ObjectiveError):
    """No winner, and at least one variant is inconclusive or void."""
