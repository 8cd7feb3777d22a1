"""The progress of many runs: one bar on a terminal, nothing but messages on a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

#: Below this share of the work no time left is shown.
_EARLY = 0.03


class SeedsBar:
    """What a study reports to; draws only if it was given a bar.

    Runs are told apart by their seed or name; ``noun`` is what they are called together. The time
    left is reckoned from those that run now: those that were there cost nothing.
    """

    def __init__(
        self,
        runs: int,
        bars: Progress | None = None,
        bar: TaskID | None = None,
        noun: str = "seeds",
    ) -> None:
        self._runs, self._bars, self._bar, self._noun = runs, bars, bar, noun
        self._shares: dict[int | str, float] = {}  # of those that ran or run
        self._there = 0
        self._ended = 0
        self._start_s = time.monotonic()

    def running(self, run: int | str, share: float) -> None:
        """A run is so far."""
        self._shares[run] = share
        self._draw()

    def ended(self, run: int | str, ran: bool) -> None:
        """A run came to an end; ``ran``: just now."""
        self._ended += 1
        if ran:
            self._shares[run] = 1.0
        else:
            self._there += 1
        self._draw()

    def notice(self, text: str) -> None:
        """A line for the user, above the bar."""
        if self._bars is None:
            print(text, file=sys.stderr)
            return
        from rich.text import Text

        self._bars.console.print(Text(text))

    def left_s(self, now_s: float) -> float | None:
        """Time left at ``now_s`` (of ``time.monotonic``) at the pace so far.

        None at first, when the start of the workers is most of the time that has passed.
        """
        done = sum(self._shares.values())
        todo = self._runs - self._there - done
        return (now_s - self._start_s) * todo / done if done > _EARLY * todo else None

    def _draw(self) -> None:
        if self._bars is None or self._bar is None:
            return
        from sim.results.wording import span

        left_s = self.left_s(time.monotonic())
        text = f"{self._ended} of {self._runs} {self._noun}"
        if left_s is not None:
            text += f", {span(left_s) if left_s >= 120.0 else f'{left_s:.0f} s'} left"
        share = (self._there + sum(self._shares.values())) / self._runs
        self._bars.update(self._bar, completed=share, done=text)


@contextmanager
def seeds_bar(name: str, runs: int, noun: str = "seeds") -> Iterator[SeedsBar]:
    """A bar over so many runs on standard error if that is a terminal."""
    if not sys.stderr.isatty():
        yield SeedsBar(runs, noun=noun)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[done]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task(name, total=1.0, done=f"0 of {runs} {noun}")
        yield SeedsBar(runs, bars, bar, noun)
