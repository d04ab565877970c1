"""What a process in a pod may do, as it finds itself: its ids and capabilities, where it may write, whom it may be.

The program runs in the pod, with Python's own library; it tries what would be an attacker's next steps and undoes none,
because each must fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["LOOK", "breaches"]

LOOK = """
import json, os, socket
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
def tried(deed):
    try:
        deed()
    except OSError as error:
        return type(error).__name__
    return ""
def name():
    socket.sethostname(socket.gethostname())
def raw():
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
folders = "/ /app /bin /etc /home /mnt/models /opt /root /usr /usr/bin /usr/local/bin /var".split()
token = "/var/run/secrets/kubernetes.io/serviceaccount/token"
print(json.dumps({
    "status": {name: status[name].strip() for name in ("Uid", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp")},
    "tried": {"another user": tried(lambda: os.setuid(0)), "a raw socket": tried(raw),
              "another root": tried(lambda: os.chroot("/")), "the host's name": tried(name)},
    "writable": [folder for folder in folders if os.path.isdir(folder) and os.access(folder, os.W_OK)],
    "token": os.path.exists(token),
}))
"""
_LEAST_UID = 10_000


def breaches(found: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return what is too much of what a process found, by the row that it breaks."""
    status = found["status"]
    ids = [int(word) for word in status["Uid"].split()]
    rights = [f"uid {one}" for one in ids if one < _LEAST_UID]
    rights += [f"{name} {status[name]}" for name in ("CapEff", "CapBnd") if int(status[name], 16)]
    rights += [f"NoNewPrivs {status['NoNewPrivs']}"] if status["NoNewPrivs"] != "1" else []
    rights += [f"Seccomp {status['Seccomp']}"] if status["Seccomp"] != "2" else []
    rights += [f"may have {what}" for what, said in found["tried"].items() if not said]
    broken = {"S2": list(found["writable"]), "S3": rights, "S4": ["a token is mounted"] if found["token"] else []}
    return {row: said for row, said in broken.items() if said}
