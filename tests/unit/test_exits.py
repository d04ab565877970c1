import errno
import os
import sys

import pytest

import loadtest.errors
import predictors.errors
from podium import errors, exits


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError("x"), 2),
        (errors.ConfigError("x"), 3),
        (errors.SubmissionError("file:1", "x"), 3),
        (errors.NodeClassError("file:1", "x"), 3),
        (errors.QuantityError("x"), 3),
        (errors.MachineError("x"), 4),
        (errors.ClusterError("x"), 4),
        (errors.NoWinnerError("x"), 5),
        (errors.UnsettledError("x"), 6),
        (predictors.errors.CardError("x"), 3),
        (predictors.errors.SourceError("x"), 3),
        (predictors.errors.DataError("x"), 3),
        (predictors.errors.BuildError("x"), 3),
        (predictors.errors.ArtifactError("x"), 3),
        (predictors.errors.OverloadError("x", retry_after_s=1.0), 4),
        (predictors.errors.DeadlineError("x"), 4),
        (loadtest.errors.SloError("p99", "x"), 3),
        (loadtest.errors.GeneratorError("x"), 4),
        (loadtest.errors.VoidRunError("late", "x"), 6),
        (loadtest.errors.RecordError("x"), 3),
        (loadtest.errors.WriteError("x"), 4),
        (OSError(errno.ENOSPC, "No space left on device"), 4),
        (OSError(errno.EADDRINUSE, "Address already in use"), 4),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "somewhere"), 4),
        (ModuleNotFoundError("No module named 'torch'", name="torch.nn"), 4),
    ],
)
def test_every_error_has_the_exit_code_of_its_meaning(error: Exception, code: int) -> None:
    ending = exits.exit_of(error)
    assert ending is not None
    assert ending.code == code
    assert isinstance(error, exits.KNOWN)


def test_every_class_of_the_three_trees_has_a_code() -> None:
    def tree(root: type[Exception]) -> list[type[Exception]]:
        return [root, *(leaf for child in root.__subclasses__() for leaf in tree(child))]

    for root in (errors.PodiumError, predictors.errors.PredictorError, loadtest.errors.LoadtestError):
        classes = tree(root)
        assert len(classes) > 3
        assert all(any(issubclass(kind, known) for known, _ in exits._CODES) for kind in classes)


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), ModuleNotFoundError("x", name="podium.none")])
def test_anything_else_is_a_bug(error: Exception) -> None:
    assert exits.exit_of(error) is None


def test_a_missing_package_names_the_extra_that_brings_it() -> None:
    ending = exits.exit_of(ModuleNotFoundError("No module named 'scipy.stats'", name="scipy.stats"))
    assert ending is not None
    assert ending.sentence == "this command needs the Python package scipy, which is not installed"
    assert ending.hint == "pip install 'podium[bench]'"


@pytest.mark.parametrize(
    ("number", "sentence", "hint"),
    [
        (errno.ENOSPC, "f: the disk is full", "free some space"),
        (errno.EDQUOT, "f: the disk is full", "free some space"),
        (errno.EADDRINUSE, "f: the port is in use", "another port"),
        (errno.EACCES, "f: Permission denied", "writable"),
        (errno.ENOTDIR, "f: Not a directory", ""),
    ],
)
def test_a_fault_of_the_system_names_the_path_and_the_remedy(number: int, sentence: str, hint: str) -> None:
    ending = exits.exit_of(OSError(number, os.strerror(number), "f"))
    assert ending is not None
    assert ending.sentence == sentence
    assert hint in ending.hint


def test_an_error_is_one_line_and_the_remedy_below_it(capsys: pytest.CaptureFixture[str]) -> None:
    exits.show("a sentence", "first remedy\nsecond remedy")
    exits.show("no remedy.")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "error: a sentence\n  → first remedy\n  → second remedy\nerror: no remedy\n"


def test_text_from_a_file_cannot_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    exits.show("red \x1b[31m and\nnew line, ä and → stay", "\x07")
    assert capsys.readouterr().err == "error: red \\x1b[31m and\\nnew line, ä and → stay\n  → \\x07\n"


@pytest.mark.parametrize(("variables", "colored"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_color_is_for_terminals_that_want_it(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variables: dict[str, str],
    colored: bool,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    exits.show("x")
    assert ("\x1b[31m" in capsys.readouterr().err) is colored


def test_a_bug_names_its_place_and_how_to_report_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.delenv("PODIUM_TRACEBACK", raising=False)
    with pytest.raises(ZeroDivisionError) as raised:
        fails()
    exits.report_bug(raised.type, raised.value, raised.tb)
    text = capsys.readouterr().err
    assert "this is a bug in Podium: ZeroDivisionError: by nothing in fails, line" in text
    assert "PODIUM_TRACEBACK=1" in text
    assert "Traceback" not in text
    monkeypatch.setenv("PODIUM_TRACEBACK", "1")
    exits.report_bug(raised.type, raised.value, None)
    assert "ZeroDivisionError: by nothing" in capsys.readouterr().err
