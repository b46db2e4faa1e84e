"""How far long work has got: a moving bar on a terminal, a plain line now and then elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_PLAIN_LINES = 4


@contextmanager
def steps(title: str, total: int) -> Iterator[Callable[[], None]]:
    """Give a function that is called at each of `total` steps; everything goes to stderr."""
    shown = _bar if sys.stderr.isatty() else _lines
    with shown(title, total) as step:
        yield step


@contextmanager
def _bar(title: str, total: int) -> Iterator[Callable[[], None]]:
    from rich.console import Console  # noqa: PLC0415  (slow to import, seldom needed)
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda: progress.advance(task)


@contextmanager
def _lines(title: str, total: int) -> Iterator[Callable[[], None]]:
    done = 0
    every = max(1, -(-total // _PLAIN_LINES))

    def step() -> None:
        nonlocal done
        done += 1
        if done % every == 0 or done == total:
            say(f"{title}: {done} of {total}")

    say(f"{title} …")
    yield step


def say(line: str) -> None:
    """One line to stderr at once, where output that is meant for scripts never goes."""
    print(line, file=sys.stderr, flush=True)
