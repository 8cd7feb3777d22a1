"""Progress of ``rackplan place``, on standard error and only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def place_bar(total: int) -> Iterator[tuple[Callable[[str], None], Callable[[], None]]]:
    """(what is done now, one more is done) of ``total`` replays."""
    if not sys.stderr.isatty():
        yield (lambda _: None), (lambda: None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as progress:
        task = progress.add_task("", total=total)
        yield (
            lambda kind: progress.update(task, description=kind),
            lambda: progress.advance(task),
        )
