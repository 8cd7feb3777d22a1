"""``--progress FILE``: how far a run is, for a program that watches it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from sim.errors import RackplanError

#: A watcher looks about once a second; writing more often would only cost time.
_EVERY_S = 0.5


class ProgressFile:
    """One line of JSON in a file that is replaced as a whole, so a reader never sees half of it.

    ``{"simulated_s": …, "total_s": …, "wall_s": …}`` while the run goes on, ``wall_s`` since its
    first report; then ``"result"``, the name of the run folder, and ``"outcome"`` are added.
    Without a file nothing is written.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._said: dict[str, float | str] = {}
        self._first_s: float | None = None
        self._last_s = 0.0

    def following(self, draw: Callable[[float, float], None]) -> Callable[[float, float], None]:
        """``draw``, which is called with (simulated s, s in all), and the file kept up to date."""
        if self._file is None:
            return draw

        def progress(simulated_s: float, total_s: float) -> None:
            draw(simulated_s, total_s)
            self._note(simulated_s, total_s)

        return progress

    def ended(self, result: str, outcome: str) -> None:
        """The run folder ``result`` is written."""
        self._write({**self._said, "result": result, "outcome": outcome})

    def _note(self, simulated_s: float, total_s: float) -> None:
        now_s = time.monotonic()
        first = self._first_s is None
        if self._first_s is None:
            self._first_s = now_s
        self._said = {
            "simulated_s": simulated_s, "total_s": total_s, "wall_s": now_s - self._first_s,
        }  # fmt: skip
        if first or now_s >= self._last_s + _EVERY_S:
            self._last_s = now_s
            self._write(self._said)

    def _write(self, said: dict[str, float | str]) -> None:
        """Raises RackplanError: the file cannot be written."""
        if self._file is None:
            return
        young = self._file.with_name(f".{self._file.name}.new")
        try:
            young.write_text(json.dumps(said) + "\n", encoding="utf-8")
            os.replace(young, self._file)
        except OSError as error:
            reason = (error.strerror or "error").lower()
            raise RackplanError(f"--progress {self._file}: cannot be written: {reason}") from None
