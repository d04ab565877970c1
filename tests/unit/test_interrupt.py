"""An interruption that comes while a process is being started is late, not lost."""

import signal
import subprocess
import sys

import pytest

# A program that is told to end while the parent runs the callbacks of a fork, as it happens to one in some dozens.
_PROGRAM = """
import os, signal, subprocess, sys, time
from loadtest import interrupt

asked = []

def told():
    if not asked:
        asked.append(True)
        os.kill(os.getpid(), {number})

{install}
os.register_at_fork({moment}=told)
try:
    # Without a function to run in the child there is no fork that Python knows of.
    subprocess.run([sys.executable, "-c", ""], preexec_fn=os.getpid, check=True)
    time.sleep(1)
except KeyboardInterrupt:
    print("interrupted")
else:
    print("went on", bool(asked))
"""
_OURS = "interrupt.as_exception()"
_PLAIN = "signal.signal({number}, signal.default_int_handler)"


def played(install: str, number: signal.Signals, moment: str) -> tuple[str, str]:
    text = _PROGRAM.format(number=int(number), moment=moment, install=install.format(number=int(number)))
    end = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=120, check=True)
    return end.stdout.strip(), end.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["before", "after_in_parent"])
def test_an_interruption_in_a_fork_is_not_lost(number: signal.Signals, moment: str) -> None:
    assert played(_OURS, number, moment) == ("interrupted", "")


def test_without_it_python_drops_that_interruption() -> None:
    out, err = played(_PLAIN, signal.SIGTERM, "after_in_parent")
    assert out == "went on True"
    assert "Exception ignored in" in err


def test_what_is_ignored_stays_ignored_but_for_a_polite_kill() -> None:
    install = f"signal.signal(signal.SIGINT, signal.SIG_IGN); {_OURS}"
    assert played(install, signal.SIGINT, "after_in_parent") == ("went on True", "")
    install = f"signal.signal(signal.SIGTERM, signal.SIG_IGN); {_OURS}"
    assert played(install, signal.SIGTERM, "after_in_parent") == ("interrupted", "")


def test_elsewhere_it_comes_at_once_and_the_alarm_is_free_again() -> None:
    text = (
        "import os, signal, subprocess, sys, time\nfrom loadtest import interrupt\n"
        "rung = []\nsignal.signal(signal.SIGALRM, lambda *_: rung.append(True))\n"
        "interrupt.as_exception()\n"
        "told = lambda: [os.kill(os.getpid(), number) for number in (15, 2, 15)]\nos.register_at_fork(before=told)\n"
        "try:\n    subprocess.run(['true'], preexec_fn=os.getpid)\n    time.sleep(1)\n"
        "except KeyboardInterrupt:\n    pass\n"
        "signal.raise_signal(signal.SIGALRM)\nprint(rung)\n"
        "try:\n    os.kill(os.getpid(), 2)\nexcept KeyboardInterrupt:\n    print('at once')\n"
    )
    end = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=120, check=True)
    assert end.stdout.split("\n") == ["[True]", "at once", ""]
