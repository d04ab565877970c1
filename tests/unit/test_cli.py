import errno
import os
import signal
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import typer

import podium.commands
from podium import cli, errors
from predictors.errors import ArtifactError

HEAVY = {
    "granian",
    "hdrh",
    "jinja2",
    "nncf",
    "numpy",
    "onnx",
    "onnxruntime",
    "openvino",
    "pandas",
    "PIL",
    "pydantic",
    "rich",
    "scipy",
    "sklearn",
    "torch",
    "yaml",
}


def podium_process(*words: str, program: str = "podium", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program as its entry point would, under the given name."""
    code = f"import sys; sys.argv[0] = {program!r}; from podium.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **environment},
    )


def running(command: str, folder: Path) -> str:
    """Return the code of a program that runs a command of a module in `folder`."""
    return (
        f"import podium.commands as c; c.__path__.append({str(folder)!r})\n"
        f"from podium.cli import main\nmain([{command!r}])\n"
    )


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of commands that is looked into as well; `fails NAME` raises an error of that name."""
    monkeypatch.setattr(podium.commands, "__path__", [*podium.commands.__path__, str(tmp_path)])
    (tmp_path / "fails.py").write_text(
        "import typer\n\n"
        "def register(app):\n"
        "    @app.command()\n"
        "    def fails(how: str):\n"
        "        from tests.unit.test_cli import end\n"
        "        return end(how)\n"
    )
    monkeypatch.delitem(sys.modules, "podium.commands.fails", raising=False)
    return tmp_path


def end(how: str) -> int:
    """End as the test asks."""
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "abort":
        raise typer.Abort
    if how == "exit":
        raise typer.Exit(5)
    if how == "pipe":
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")
    if how == "system":
        raise SystemExit(7)
    if how == "artifact":
        raise ArtifactError("there is no variant x", "podium build")
    if how == "disk":
        raise OSError(28, "No space left on device", "runs/x")
    if how == "bug":
        raise ZeroDivisionError("by nothing")
    if how == "unsettled":
        raise errors.UnsettledError("nothing is settled")
    return 6


@pytest.mark.parametrize(
    ("how", "code", "text"),
    [
        ("interrupt", 130, ""),
        ("abort", 130, ""),
        ("exit", 5, ""),
        ("pipe", 0, ""),
        ("returned", 6, ""),
        ("artifact", 3, "error: there is no variant x\n  → podium build\n"),
        (
            "disk",
            4,
            "error: runs/x: the disk is full\n  → free some space, then run the same command again\n",
        ),
        ("unsettled", 6, "error: nothing is settled\n"),
    ],
)
def test_a_command_ends_with_the_code_and_the_words_of_its_outcome(
    failing: Path, capsys: pytest.CaptureFixture[str], how: str, code: int, text: str
) -> None:
    assert cli.run(["fails", how]) == code
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", text)


def test_where_an_error_comes_from_is_shown_to_who_asks(
    failing: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PODIUM_TRACEBACK", "1")
    assert cli.run(["fails", "artifact"]) == 3
    text = capsys.readouterr().err
    assert "Traceback (most recent call last)" in text
    assert text.endswith("error: there is no variant x\n  → podium build\n")


def test_a_command_that_ends_the_process_itself_is_let(failing: Path) -> None:
    with pytest.raises(SystemExit, match="7"):
        cli.run(["fails", "system"])


def test_ctrl_c_while_a_command_is_imported_is_an_interruption(
    failing: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (failing / "slow.py").write_text("raise KeyboardInterrupt\n")
    assert cli.run(["slow"]) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("words", [["get", "classes"], ["get", "classes", "-o", "json"], ["--help"]])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_seen_enough_is_no_failure(words: list[str], unbuffered: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "podium", *words],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_bug_is_not_taken_for_an_error_of_the_user(failing: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        cli.run(["fails", "bug"])


@pytest.mark.parametrize(
    ("words", "sentence", "hint"),
    [
        (["nonsense"], "no such command 'nonsense'", "podium --help"),
        (["--nonsense"], "no such option: --nonsense", "podium --help"),
        (["doctor", "--nonsense"], "no such option: --nonsense", "podium doctor --help"),
        (["doctor", "-o", "xml"], "invalid value for '-o'", "podium doctor --help"),
        (["fails"], "missing argument 'how'", "podium fails --help"),
    ],
)
def test_a_usage_error_is_one_sentence_and_names_the_help(
    failing: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str, hint: str
) -> None:
    assert cli.run(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"error: {sentence}")
    assert lines[1] == f"  → {hint}"


def test_without_words_the_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([]) == 0
    assert "Usage: podium" in capsys.readouterr().out


def test_every_command_module_registers_the_command_of_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    names = sorted(path.stem for path in Path(podium.commands.__path__[0]).glob("[a-z]*.py"))
    assert "doctor" in names
    for name in names:
        assert cli.run([name, "--help"]) == 0
        text = capsys.readouterr().out
        assert f"Usage: podium {name}" in text
        assert "Example: podium" in text, f"the help of podium {name} has no example"


def test_a_command_whose_module_is_broken_leaves_the_others_alone(
    failing: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (failing / "broken.py").write_text("import nothing_of_this_name\n")
    assert cli.run(["doctor", "--help"]) == 0
    with pytest.raises(ModuleNotFoundError):
        cli.run(["broken"])


def test_help_imports_nothing_that_a_command_needs() -> None:
    code = (
        "import sys\n"
        "from podium.cli import run\n"
        "code = run(['--help'])\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert not HEAVY & set(done.stderr.split())
    assert "doctor" in done.stdout


def test_the_program_exits_with_the_code_and_has_no_traceback_for_a_user_error() -> None:
    done = podium_process("nonsense")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "error: no such command 'nonsense'\n  → podium --help\n"


def test_called_by_kubectl_the_program_names_itself_so() -> None:
    done = podium_process("--help", program="/usr/local/bin/kubectl-podium")
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: kubectl podium [OPTIONS]")


def test_the_module_is_the_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "podium", "--help"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: podium [OPTIONS]")


@pytest.mark.parametrize(("encoding", "shown"), [("utf-8", "✓ food"), ("latin-1", "\\u2713 food")])
def test_a_sign_that_the_terminal_cannot_show_is_spelled_out_and_no_bug(
    tmp_path: Path, encoding: str, shown: str
) -> None:
    (tmp_path / "shows.py").write_text(
        "def register(app):\n"
        "    @app.command()\n"
        "    def shows():\n"
        "        from podium.console import print_styled\n"
        "        print_styled('\\u2713 food')\n"
    )
    code = running("shows", tmp_path)
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode(encoding).rstrip() == shown


def test_a_bug_exits_with_1_and_says_that_it_is_one(tmp_path: Path) -> None:
    (tmp_path / "buggy.py").write_text(
        "def register(app):\n    @app.command()\n    def buggy():\n        raise ZeroDivisionError('by nothing')\n"
    )
    code = running("buggy", tmp_path)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: this is a bug in Podium: ZeroDivisionError: by nothing in buggy, line")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_or_sigterm_in_the_program_exits_with_130(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "waits.py").write_text(
        "def register(app):\n"
        "    @app.command()\n"
        "    def waits():\n"
        "        import signal, sys\n"
        "        print('ready', flush=True)\n"
        "        signal.pause()\n"
    )
    code = running("waits", tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, text = process.communicate(timeout=120)
        assert process.returncode == 130
        assert text == ""


def test_the_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        expected = f"podium {version('podium')}\n"
    except PackageNotFoundError:
        assert cli.run(["--version"]) == 4
        assert "not installed" in capsys.readouterr().err
    else:
        assert cli.run(["--version"]) == 0
        assert capsys.readouterr().out == expected
