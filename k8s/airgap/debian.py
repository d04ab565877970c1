"""The Debian root file system under the node image, unpacked by mmdebstrap from Debian's archive."""

from pathlib import Path

from k8s.airgap import cache
from k8s.airgap.shell import run

_PACKAGES = (
    *("systemd", "dbus", "containerd", "runc", "containernetworking-plugins", "libseccomp2"),
    *("iptables", "nftables", "iproute2", "conntrack", "ethtool", "socat", "kmod", "procps"),
    *("util-linux", "mount", "e2fsprogs", "jq", "ca-certificates"),
)
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*", "/usr/share/lintian/*")
_SOURCES = Path("/etc/apt/sources.list.d/debian.sources")


def obtain(suite: str, store: cache.Cache) -> Path:
    """Return the root file system as a tar.

    Raises:
        MachineError: mmdebstrap failed; its last lines are in the hint.
    """
    options = ["--variant=minbase", "--format=tar", f"--include={','.join(_PACKAGES)}"]
    options += [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]

    def make(target: Path) -> None:
        # The machine's own sources name its mirror; without them mmdebstrap asks Debian's.
        sources = [_SOURCES] if _SOURCES.is_file() else []
        run(["mmdebstrap", *options, suite, target, *sources], what="The Debian base of the node image")

    return store.obtain("debian", cache.key([suite, *options]), make)
