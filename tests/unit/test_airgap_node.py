"""kind's node files, changed for Debian's containerd and a kernel that refuses; and runc's wrapper itself."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from k8s.airgap import dockerd, host, network, nodefiles, nodeimage
from podium.errors import MachineError, UsageError

CONTAINERD = """\
version = 2

[proxy_plugins]
# fuse-overlayfs is used for rootless
[proxy_plugins."fuse-overlayfs"]
  type = "snapshot"

[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
    SystemdCgroup = true

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.k8s.io/pause:3.10"
  restrict_oom_score_adj = false
"""
WRAPPER = Path(nodeimage.__file__).with_name("runc-nores")


def test_containerd_of_a_softened_host() -> None:
    text = nodefiles.containerd_config(CONTAINERD, "registry.k8s.io/pause:3.10.2", softened=True, systemd_cgroup=False)
    assert '    SystemdCgroup = false\n    BinaryName = "/usr/local/sbin/runc-nores"\n' in text
    assert "restrict_oom_score_adj = true" in text
    assert 'sandbox_image = "registry.k8s.io/pause:3.10.2"' in text
    assert "proxy_plugins" not in text
    assert 'snapshotter = "overlayfs"' in text


def test_containerd_of_an_ordinary_host_keeps_plain_runc_and_systemd() -> None:
    text = nodefiles.containerd_config(CONTAINERD, "p", softened=False, systemd_cgroup=True)
    assert "SystemdCgroup = true" in text
    assert "runc-nores" not in text
    assert "restrict_oom_score_adj = false" in text


def test_the_unit_starts_debians_containerd_without_a_negative_score() -> None:
    unit = nodefiles.containerd_unit(
        "[Service]\nExecStart=/usr/local/bin/containerd\nOOMScoreAdjust=-999\nType=notify\n"
    )
    assert unit == "[Service]\nExecStart=/usr/bin/containerd\nType=notify\n"


@pytest.mark.parametrize(("status", "lacks"), [("000001fffeffffff", True), ("000001ffffffffff", False)])
def test_the_capability_is_read_from_the_bounding_set(status: str, lacks: bool) -> None:
    assert dockerd.lacks_sys_resource(f"Name:\tx\nCapBnd:\t{status}\n") is lacks


@pytest.fixture
def runc(tmp_path: Path) -> list[str]:
    """Return the command of the wrapper around a runc that only tells its arguments."""
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    fake = tmp_path / "runc"
    fake.write_text('#!/bin/sh\necho "$@"\n')
    fake.chmod(0o755)
    wrapper = tmp_path / "runc-nores"
    wrapper.write_text(WRAPPER.read_text().replace("/usr/sbin/runc", str(fake)))
    wrapper.chmod(0o755)
    return [str(wrapper)]


PROCESS = {
    "capabilities": {"bounding": ["CAP_CHOWN", "CAP_SYS_RESOURCE"], "ambient": ["CAP_SYS_RESOURCE"]},
    "oomScoreAdj": -999,
    "args": ["true"],
}
SOFT = {"capabilities": {"bounding": ["CAP_CHOWN"], "ambient": []}, "oomScoreAdj": 0, "args": ["true"]}


@pytest.mark.parametrize("form", [["--bundle", "{}"], ["--bundle={}"], ["-b", "{}"]])
def test_the_wrapper_softens_a_container_and_passes_all_arguments_on(
    tmp_path: Path, runc: list[str], form: list[str]
) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"process": PROCESS, "hostname": "x"}))
    arguments = ["create", *(word.format(tmp_path) for word in form), "name"]
    told = subprocess.run([*runc, *arguments], capture_output=True, text=True, check=True).stdout
    assert told.split() == arguments
    assert json.loads(file.read_text()) == {"process": SOFT, "hostname": "x"}


def test_the_wrapper_softens_an_exec(tmp_path: Path, runc: list[str]) -> None:
    file = tmp_path / "process.json"
    file.write_text(json.dumps(PROCESS))
    subprocess.run([*runc, "exec", "--process", str(file), "name"], capture_output=True, check=True)
    assert json.loads(file.read_text()) == SOFT


def test_the_wrapper_leaves_a_harmless_score_alone(tmp_path: Path, runc: list[str]) -> None:
    file = tmp_path / "process.json"
    file.write_text(json.dumps({"args": ["true"], "oomScoreAdj": 500}))
    subprocess.run([*runc, "exec", f"--process={file}", "name"], capture_output=True, check=True)
    assert json.loads(file.read_text()) == {"args": ["true"], "oomScoreAdj": 500}


def test_the_rule_drops_only_what_leaves_the_clusters_own_bridge() -> None:
    rule = network.Network().rule()
    assert rule[:5] == ["-i", "br-podium", "!", "-o", "br-podium"]
    assert rule[-2:] == ["-j", "DROP"]


def test_a_wrong_setting_of_the_air_gap_is_refused() -> None:
    with pytest.raises(UsageError, match="PODIUM_AIRGAP is 'yes'; it may be auto, always or never"):
        host.is_air_gapped("yes")
    assert host.is_air_gapped("always") is True
    assert host.is_air_gapped("never") is False


def test_all_that_a_machine_lacks_is_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dockerd, "on_path", lambda name: None if name in ("mmdebstrap", "jq") else Path("/bin") / name)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MachineError) as refused:
        host.check(tmp_path, air_gapped=True, facts={"MemTotal": 2**30})
    for part in ("6 GiB of memory for Docker (it has 1.0 GiB)", "root", "the program mmdebstrap", "the program jq"):
        assert part in str(refused.value)
    assert "apt-get install" in refused.value.hint


def test_a_missing_docker_and_a_silent_one_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dockerd, "answers", lambda: False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(dockerd, "on_path", lambda name: None)
    with pytest.raises(MachineError, match="Docker is missing"):
        dockerd.ensure(tmp_path)
    monkeypatch.setattr(dockerd, "on_path", lambda name: Path("/usr/bin") / name)
    with pytest.raises(MachineError, match="Docker does not answer to this user"):
        dockerd.ensure(tmp_path)
