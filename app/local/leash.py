"""Runs a program that must not outlive its grandparent, not even when that one is SIGKILLed.

    python -I -S leash.py PROGRAM [ARGUMENT …]

The starter holds the other end of stdin. When it closes, however the starter ended, the program
is asked to end (SIGTERM) and made to (SIGKILL). A pipe, and not PR_SET_PDEATHSIG from the starter:
that signal comes when the *thread* that started the child ends, and Linux alone has it. Between
the leash, which has one starting thread for life, and the program it is the right means, and
covers a SIGKILL of the leash itself.

First line on stdout: the program's process id. Its output goes to the leash's stderr.
"""

import ctypes
import os
import select
import signal
import sys
import threading
import time

_GRACE_S = 10.0
_LOOK_S = 1.0  # a fork of the starter may hold the pipe open: look who the parent is as well
_PR_SET_PDEATHSIG = 1


def _become(arguments: list[str]) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    os.execv(arguments[0], arguments)  # noqa: S606  (runs what it is there to run)


def _end_with_starter(program: int, starter: int) -> None:
    while os.getppid() == starter:
        readable, _, _ = select.select([0], [], [], _LOOK_S)
        if readable and not os.read(0, 1):
            break
    os.kill(program, signal.SIGTERM)
    time.sleep(_GRACE_S)
    os.kill(program, signal.SIGKILL)


def main(arguments: list[str]) -> int:
    """Run the program to its end; gives its exit code, 128 + n where signal n ended it."""
    starter = os.getppid()
    program = os.fork()
    if program == 0:
        _become(arguments)
    os.write(1, f"{program}\n".encode())
    signal.signal(signal.SIGTERM, lambda *_: os.kill(program, signal.SIGTERM))
    threading.Thread(target=_end_with_starter, args=(program, starter), daemon=True).start()
    _, status = os.waitpid(program, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
