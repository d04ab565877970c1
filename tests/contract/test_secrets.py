"""Secrets planted around a server and around commands that fail: no log, no page and no sentence has them."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.server import started
from tests.planted import hits, plant

ROOT = Path(__file__).parents[2]
KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: "http://127.0.0.1:1"}}}}]
users: [{{name: u, user: {{token: "{mark}{broken}}}}}]
contexts: [{{name: x, context: {{cluster: c, user: u}}}}]
current-context: x
"""


def podium(folder: Path, environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "podium", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.mark.row("S19", "a secret in a server's environment and a client's login: in no log, metric, state or answer")
def test_a_server_tells_nobody_its_environment_or_what_a_client_logs_in_with(
    vector_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    mark, environment = plant()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    log = tmp_path / "server.log"
    server = started(vector_folder, log)
    try:
        login = {"authorization": f"Bearer {mark}", "cookie": f"session={mark}", "content-type": "application/json"}
        pages = [
            server.ask("GET", path, port=server.metrics_port).body
            for path in ("/metrics", "/debug/state", "/healthz/ready")
        ]
        bodies = (b'{"instances": [[0, 1, 0, 0]]}', b'{"instances": "x"}', b"{", b'{"instances": [[1e39, 0, 0, 0]]}')
        pages += [server.ask("POST", "/v1/models/tiny:predict", body, login).body for body in bodies]
        pages.append(server.ask("GET", "/v1/models/none", headers=login).body)
        pages.append(server.ask("PUT", "/v2/models/tiny/infer", b"{}", login).body)
        assert all(pages)
        assert server.is_good()
    finally:
        assert server.stop() == 0
        if server.process.stdout is not None:
            server.process.stdout.close()
    assert log.read_text()
    assert hits(mark, log, *pages, str(server.ready)) == []
    record_property("S19", f"planted in {len(environment)} places: 0 hits in the log and {len(pages)} pages")
    # The control: what is logged is found, as JSON and as text.
    with log.open("a") as stream:
        handler = logging.StreamHandler(stream)
        handler.emit(logging.LogRecord("x", logging.INFO, "", 0, f'{{"token": "{mark}"}}', None, None))
    assert hits(mark, log) == [str(log)]


@pytest.mark.row("S19", "a secret in the environment, a kubeconfig, a URL or a submission: in no sentence of a command")
@pytest.mark.parametrize(
    "words",
    [
        ("doctor",),
        ("bench", "http://me:{mark}@127.0.0.1:1", "--payloads", ".", "--model", "m"),
        ("bench", "http://127.0.0.1:1", "--payloads", ".", "--model", "m", "--state", "http://me:{mark}@127.0.0.1:2"),
        ("deploy", "none", "--node-class", "epyc", "--kubeconfig", "broken"),
        ("chaos", "--kubeconfig", "broken", "-f", "faults.yaml"),
        ("chaos", "--kubeconfig", "away", "-f", "faults.yaml"),
        ("race", "-f", "broken-submission.yaml"),
    ],
    ids=lambda words: " ".join(words[:2]).partition("{")[0],
)
def test_no_sentence_of_a_command_has_a_secret(
    tmp_path: Path, words: tuple[str, ...], record_property: Callable[[str, object], None]
) -> None:
    mark, environment = plant()
    (tmp_path / "broken").write_text(KUBECONFIG.format(mark=mark, broken=""))
    (tmp_path / "away").write_text(KUBECONFIG.format(mark=mark, broken='"'))
    (tmp_path / "broken-submission.yaml").write_text(f'spec: {{env: [{{value: "{mark}}}]}}\n')
    (tmp_path / "one.json").write_text('{"instances": [[1]]}')
    service = "{name: pie, golden: [{json: one.json, label: a}]}"
    text = f"name: pie\nservices: [{service}]\nrounds: 1\nfaults: [{{kind: pod-kill}}]\n"
    (tmp_path / "faults.yaml").write_text(text)
    done = podium(tmp_path, dict(environment), *(word.format(mark=mark) for word in words))
    assert (done.returncode != 0) is (words[0] != "doctor" or done.returncode == 4), done.stderr
    assert done.stdout + done.stderr
    assert hits(mark, done.stdout, done.stderr) == []
    record_property("S19", f"{words[0]}: 0 hits")


@pytest.mark.control("S19")
def test_the_search_finds_what_is_there_in_every_disguise(tmp_path: Path) -> None:
    import base64
    import gzip

    mark, _ = plant()
    for number, content in enumerate(
        (
            mark.encode(),
            base64.b64encode(f"x{mark}y".encode()),
            base64.b64encode(f"xy{mark}".encode()),
            base64.b64encode(mark.encode()),
            mark.encode().hex().encode(),
            gzip.compress(f"a {mark} b".encode()),
        )
    ):
        (tmp_path / str(number)).write_bytes(b"before " * (content[:2] != b"\x1f\x8b") + content)
    (tmp_path / "clean").write_bytes(b"nothing")
    assert len(hits(mark, tmp_path)) == 6
    assert hits(mark, "nothing", mark) == ["text 1"]
