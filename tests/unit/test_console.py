import json
import sys

import pytest
import yaml

from podium.console import (
    Json,
    Output,
    data,
    notes,
    print_document,
    print_styled,
    print_table,
)


def test_a_piped_table_is_one_line_a_row_without_color_or_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["ID", "RATE"], [["[b]long" + "x" * 200, "9"], ["\x1b[31mred", "100"]], right=["RATE"])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 3
    assert lines[0].split() == ["ID", "RATE"]
    assert lines[1].startswith("[b]longxxx")
    assert lines[1].endswith("    9")
    assert lines[2].startswith("\\x1b[31mred")


def test_a_style_is_for_the_terminal_only(capsys: pytest.CaptureFixture[str]) -> None:
    print_styled("missing", "bold red", end="")
    print_styled("\ttext")
    assert capsys.readouterr().out == "missing\\ttext\n"


def test_on_a_terminal_there_is_color_unless_no_color_is_set(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table(["S"], [["missing"]], styles={"missing": "red"})
    assert "\x1b[31mmissing" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    print_table(["S"], [["missing"]], styles={"missing": "red"})
    assert "31m" not in capsys.readouterr().out


@pytest.mark.parametrize("output", [Output.JSON, Output.YAML])
def test_documents_survive_the_way_out_and_back(capsys: pytest.CaptureFixture[str], output: Output) -> None:
    value: Json = {"z": [1, 2.5, None, True], "a": {"text": "ä: [x]\n"}}
    print_document(value, output)
    text = capsys.readouterr().out
    assert (json.loads(text) if output is Output.JSON else yaml.safe_load(text)) == value
    assert text.index("z") < text.index('"a"' if output is Output.JSON else "\na:")


def test_what_is_no_number_in_json_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        print_document({"a": float("nan")}, Output.JSON)


def test_data_and_notes_go_to_different_streams(capsys: pytest.CaptureFixture[str]) -> None:
    data().print("data")
    notes().print("notes")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("data\n", "notes\n")
