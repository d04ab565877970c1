"""`podium watch --url` beside a real predictor: right figures, a clean end, and a sentence for what is missing."""

import json
import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from podium import cli
from podium.errors import MachineError, UsageError
from podium.watch.server import ServerPlace
from podium.watch.window import compare
from tests.contract.conftest import Starter
from tests.contract.server import Server
from tests.eventually import eventually
from tests.expositions import Page


@pytest.fixture(scope="module")
def watched(start: Starter, vector_folder: Path) -> Server:
    """A server that knows its objective."""
    return start(vector_folder, "--slo", "p99<=5s, errors<=1%")


@pytest.fixture
def page() -> Iterator[Page]:
    served = Page(None)
    yield served
    served.close()


def url_of(server: Server) -> str:
    return f"http://127.0.0.1:{server.metrics_port}"


def test_answers_between_two_looks_are_counted(watched: Server) -> None:
    place = ServerPlace(url_of(watched))
    before = place.look()
    for _ in range(7):
        assert watched.is_good()
    assert watched.post_json("/v1/models/tiny:predict", {}).status == 400
    (row,) = compare(before, place.look())
    assert row.counts.answers == {200: 7, 400: 1}
    assert (row.errors, row.burn, row.service.ready, row.service.wanted) == (0, 0, 1, 1)
    assert row.p99 is not None
    assert row.p50 is not None
    assert 0 < row.p50.seconds <= row.p99.seconds < 5


def test_metrics_two_ports_on_are_found(watched: Server) -> None:
    # The port of requests is taken for that of metrics first, and answers /metrics with 404.
    place = ServerPlace(f"http://127.0.0.1:{watched.metrics_port - 2}")
    assert place.look().services[0].name == "tiny-ort-fp32"
    assert place.look().services[0].mode == "local"


def test_the_command_prints_what_scripts_read(watched: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["watch", "--url", url_of(watched), "--once", "--window", "100ms", "-o", "json"]) == 0
    (service,) = json.loads(capsys.readouterr().out)["services"]
    assert (service["mode"], service["rate"], service["fault"]) == ("local", 0, None)
    assert [one["clause"] for one in service["objective"]] == ["p99", "errors"]


def test_a_terminal_is_drawn_anew_until_ctrl_c(watched: Server) -> None:
    inside, outside = pty.openpty()
    command = [sys.executable, "-m", "podium", "watch", "--url", url_of(watched), "--interval", "100ms"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    process = subprocess.Popen(command, stdout=outside, stderr=subprocess.PIPE, env=environment)
    os.close(outside)
    shown = b""

    def drawn() -> bool:
        nonlocal shown
        shown += os.read(inside, 65536)
        return shown.count(b"Ctrl-C ends it") >= 3

    try:
        eventually(drawn)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0
        assert said == b""
        assert b"tiny-ort-fp32" in shown
    finally:
        process.kill()
        process.communicate()
        os.close(inside)


def test_a_server_that_is_not_there_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(MachineError, match=f"no predictor's metrics at 127.0.0.1 .port {port}: Connection refused"):
            ServerPlace(f"http://127.0.0.1:{port}").look()


@pytest.mark.parametrize(
    ("text", "told"), [(None, "it answers /metrics with 404"), ("up 1\n", "not a predictor's"), ("<p>", "no sample")]
)
def test_what_is_no_predictor_is_told(page: Page, text: str | None, told: str) -> None:
    page.text = text
    with pytest.raises(MachineError, match=told) as caught:
        ServerPlace(page.url).look()
    assert "8082" in caught.value.hint


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8080", "https://127.0.0.1", "http://me:secret@127.0.0.1", "http://h/x", "http://h:port", "http://"],
)
def test_what_is_no_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageError, match="--url") as caught:
        ServerPlace(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["food11", "--url", "http://127.0.0.1:8080"], "give one of them"),
        (["--url", "http://127.0.0.1:8080", "--interval", "1ms"], "--interval 1ms is not between"),
        (["--url", "http://127.0.0.1:8080", "--window", "2h"], "--window 2h is not between"),
    ],
)
def test_what_contradicts_itself_is_exit_code_two(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["watch", *words]) == 2
    assert told in capsys.readouterr().err
