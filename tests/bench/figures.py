"""Figures that benches measure: gathered, printed as a table, written as one JSON file."""

from __future__ import annotations

import json
import math
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

#: Where the JSON file goes unless the environment says otherwise.
DEFAULT = Path(__file__).resolve().parents[2] / "build" / "bench.json"
#: Requests of one measurement of an engine. Fewer are quicker and less exact.
REQUESTS = int(os.environ.get("RACKPLAN_BENCH_REQUESTS", "4000000"))
REPEATS = 3


class Figures:
    """What was measured, in order."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, float, str]] = []

    def add(self, name: str, value: float, unit: str) -> float:
        """Note one figure and return its value. Names are unique and read from wide to narrow."""
        if any(name == known for known, _, _ in self._rows):
            raise ValueError(f"figure {name!r} was measured twice")
        if not math.isfinite(value):
            raise ValueError(f"figure {name!r} is {value}")
        self._rows.append((name, float(value), unit))
        return value

    def table(self) -> str:
        """One line for each figure."""
        names = max((len(name) for name, _, _ in self._rows), default=0)
        return "\n".join(f"{name:<{names}}  {value:>14,.4g} {unit}" if abs(value) < 1000
                         else f"{name:<{names}}  {value:>14,.0f} {unit}"
                         for name, value, unit in self._rows)  # fmt: skip

    def write(self, path: Path) -> None:
        """The machine and every figure."""
        content = {
            "machine": machine(),
            "figures": [
                {"name": name, "value": value, "unit": unit} for name, value, unit in self._rows
            ],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def json_path() -> Path:
    """The file that figures are written to."""
    return Path(os.environ.get("RACKPLAN_BENCH_JSON", DEFAULT))


def machine() -> dict[str, Any]:
    """What the figures depend on besides the code."""
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numba", "numpy", "pyarrow", "simpy")},
    }


def cpu_name() -> str:
    """The processor as the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def cpu_s(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """CPU seconds (of all threads) of the fastest of a few repeats."""
    return cpu_s_of(lambda: None, lambda _: work(), repeats)


def cpu_s_of(
    prepare: Callable[[], T], work: Callable[[T], object], repeats: int = REPEATS
) -> float:
    """The same of work on something that is prepared anew, out of the measurement, each time."""
    best = math.inf
    for _ in range(repeats):
        given = prepare()
        start = time.process_time()
        work(given)
        best = min(best, time.process_time() - start)
    return best
