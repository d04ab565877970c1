"""A Ray of this process's own, on this machine: quiet, bounded, reachable by nobody else, gone with the process.

Ray is a set of processes (a store, a scheduler, their agents and the workers). They start with the first user and
end with the last. The kernel ends all but the workers with the thread that started them, and the workers end within
seconds of their scheduler, so that even a SIGKILL leaves nothing behind but a folder of logs.
"""

import atexit
import logging
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import ray

__all__ = ["LocalRay"]

# The least that Ray takes. What is larger than 100 kB passes through it, and a batch of images is a few MB.
_STORE_BYTES = 80 << 20
_TRIES = 3
# Ray reads it when it is imported. Only where it is unset a start sets it to "token" and reads it again.
_AUTH = "RAY_AUTH_MODE"
_ENVIRONMENT = {
    # Nothing is reported to anybody.
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_metrics_collection": "0",
    # Memory is the container's business: Ray would measure the whole machine's and end the engine for a neighbor.
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_ROTATION_MAX_BYTES": str(4 << 20),
    "RAY_ROTATION_BACKUP_COUNT": "1",
    "RAY_SERVE_LOG_TO_STDERR": "0",
    "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "3600000",
}


class LocalRay:
    """The one Ray of this process, counted by its users."""

    _lock = threading.Lock()
    _users = 0
    _folder: Path | None = None
    # Ray's ports are open to the machine's network, so every call needs it. Ray reads it once in a process.
    _token = ""
    _before: Mapping[str, str | None] = {}

    @classmethod
    def enter(cls, cpus: int) -> None:
        """Start it where it does not run yet, with `cpus` to give away; the first user decides.

        Raises:
            RuntimeError: It does not come up, which is tried three times.
        """
        with cls._lock:
            if cls._users == 0:
                cls._start(cpus)
            cls._users += 1

    @classmethod
    def leave(cls) -> None:
        """End it with its last user; returns when its processes are gone. Without users it does nothing."""
        with cls._lock:
            if cls._users == 0:
                return
            cls._users -= 1
            if cls._users == 0:
                cls._stop()

    @classmethod
    def _start(cls, cpus: int) -> None:
        for left in reversed(range(_TRIES)):
            try:
                cls._try(cpus)
                return
            # Ray gives itself 30 s, too few on a machine that is busy, and says so with nothing more than this.
            except Exception as error:
                if not left:
                    raise RuntimeError(f"Ray did not come up in {_TRIES} tries: {error}") from error

    @classmethod
    def _try(cls, cpus: int) -> None:
        cls._token = cls._token or secrets.token_hex(32)
        # Short, because the path of a socket may have 107 characters.
        cls._folder = Path(tempfile.mkdtemp(prefix="ray-"))
        atexit.register(cls._stop)
        path = os.environ.get("PATH", os.defpath)
        if shutil.which("bash") is None:
            path = f"{_write_shell(cls._folder)}{os.pathsep}{path}"
        wanted = {**_ENVIRONMENT, "RAY_AUTH_TOKEN": cls._token, "PYTHONPATH": _python_path(), "PATH": path}
        cls._before = {name: os.environ.get(name) for name in (*wanted, _AUTH)}
        os.environ.update(wanted)
        os.environ.pop(_AUTH, None)
        try:
            with _quiet():
                ray.init(
                    address="local",
                    num_cpus=cpus,
                    num_gpus=0,
                    include_dashboard=False,
                    configure_logging=False,
                    log_to_driver=False,
                    object_store_memory=_STORE_BYTES,
                    _node_ip_address="127.0.0.1",
                    _temp_dir=str(cls._folder),
                )
            if os.environ.get(_AUTH) != "token":
                raise RuntimeError("this version of Ray does not ask for a token by itself")
        except BaseException:
            cls._stop()
            raise

    @classmethod
    def _stop(cls) -> None:
        atexit.unregister(cls._stop)
        ray.shutdown()
        if cls._folder is not None:
            # What it began and did not finish it does not end either.
            _end_children(str(cls._folder))
            shutil.rmtree(cls._folder, ignore_errors=True)
        for name, value in cls._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _end_children(word: str) -> None:
    """End the children of this process whose command line has a word, and wait for them."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        # A process may end while it is looked at.
        with suppress(OSError):
            pid = int(path.parent.name)
            parent = int(path.read_text().rsplit(")", 1)[1].split()[1])
            if parent == os.getpid() and word in (path.parent / "cmdline").read_text():
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Ray's greetings to itself; what fails is raised."""
    logger = logging.getLogger("ray")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _write_shell(folder: Path) -> Path:
    """Write what Ray starts its workers with, `bash -c "exec PROGRAM ARGUMENT..."`, for images without a shell."""
    shell = folder / "bin" / "bash"
    shell.parent.mkdir()
    lines = (f"#!{sys.executable} -IS", "import os, shlex, sys", "words = shlex.split(sys.argv[2])[1:]")
    shell.write_text("\n".join((*lines, "os.execvp(words[0], words)", "")), encoding="utf-8")
    shell.chmod(0o755)
    return shell.parent


def _python_path() -> str:
    """Name the folders that hold our code and Ray's: in an image they are not where Python looks by itself."""
    own = [str(Path(__file__).parents[1]), str(Path(ray.__file__).parents[1])]
    given = os.environ.get("PYTHONPATH")
    return os.pathsep.join(dict.fromkeys([*own, *(given.split(os.pathsep) if given else [])]))
