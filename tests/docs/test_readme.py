"""The commands of the README, run as they stand; the long ones, demo with its race and test, CI runs around this."""

import json
import os
import re
import shlex
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.eventually import eventually

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LONG = {"./scripts/demo", "./scripts/test", "podium race -f examples/food11.yaml"}
# The tier `cluster` brings a cluster up and does these there.
CLUSTER = {
    "./scripts/cluster-up",
    "./scripts/cluster-down",
    "podium deploy food11-ort-int8 --node-class epyc",
    "podium race -f examples/food11.yaml --target cluster --profile quick",
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    lines = [line.split("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line]


def environment(tmp_path: Path) -> dict[str, str]:
    path = f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "NO_COLOR": "1", "COLUMNS": "120"}


def test_the_readme_shows_the_two_commands() -> None:
    assert set(commands()) >= LONG | CLUSTER
    for command in ("./scripts/demo", "./scripts/test", "./scripts/cluster-up", "./scripts/cluster-down"):
        assert os.access(ROOT / command, os.X_OK)


@pytest.mark.parametrize(
    "command", [c for c in commands() if c not in LONG | CLUSTER and not c.startswith("podium serve")]
)
def test_the_command_works_as_written(command: str, tmp_path: Path) -> None:
    done = subprocess.run(
        shlex.split(command), cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() or done.stderr.strip()


def test_a_variant_is_served_as_the_readme_says(tmp_path: Path) -> None:
    (command,) = [c for c in commands() if c.startswith("podium serve")]
    built = subprocess.run(
        [ROOT / ".venv/bin/podium", "build", "examples/models/food11", "--variants", "ort-int8"],
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert built.returncode == 0, built.stderr
    words = [*shlex.split(command), "--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"]
    server = subprocess.Popen(
        words, cwd=ROOT, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert server.stdout is not None
        ready = json.loads(server.stdout.readline())
        url = f"http://127.0.0.1:{ready['http_port']}/v2/models/food11/ready"
        assert eventually(lambda: urllib.request.urlopen(url, timeout=5).status) == 200
    finally:
        server.terminate()
        assert server.wait(60) == 0
        if server.stdout is not None:
            server.stdout.close()


def test_each_command_that_the_readme_names_is_one() -> None:
    named = set(re.findall(r"`podium (\w+)", README))
    known = {path.stem for path in (ROOT / "podium" / "commands").glob("[a-z]*.py")}
    assert named
    assert named <= known


def test_the_readme_says_where_the_program_is() -> None:
    first = README.index("podium ", README.index("```sh\n./scripts/cluster-up"))
    assert 0 < README.index('export PATH="$PWD/.venv/bin:$PATH"') < first


def test_no_part_of_the_readme_waits_to_be_filled() -> None:
    assert "<!--" not in README
