"""Which tables hold attention, experts or collectives, and who reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sim.errors import DataError
from sim.validate import attention, collectives, experts, kernels
from sim.validate.timings import Found

#: What tells a table: its columns, what it is in words, and its reader.
TABLES: dict[tuple[str, ...], tuple[str, Callable[[Path], Found]]] = {
    attention.DECODE_COLUMNS: ("decode attention", attention.decode_timings),
    attention.PREFILL_COLUMNS: ("prefill attention", attention.prefill_timings),
    experts.COLUMNS: ("routed experts", experts.experts_timings),
    collectives.COLUMNS: ("collectives", collectives.collective_timings),
    collectives.PAGE_COLUMNS: ("nccl-tests", collectives.page_timings),
}
#: Columns of a time that only tables of kernels have.
_TIMES = ("latency_ms", "time_us")


def is_layers(columns: set[str]) -> bool:
    """Whether a table with these columns is one of attention, experts or collectives."""
    return any(set(needed) <= columns for needed in TABLES)


def layer_timings(path: Path, columns: set[str]) -> Found:
    """The kernels of such a table, with predictions.

    Raises:
        DataError: a cell that is not what its column says.
    """
    return next(read for needed, (_, read) in TABLES.items() if set(needed) <= columns)(path)


def check_unknown(path: Path, columns: set[str]) -> None:
    """Refuse a table that has times of kernels, but not the columns of any kind of kernel.

    Raises:
        DataError: says which kind it is nearest to, and what lacks for that.
    """
    if not any(time in columns for time in _TIMES):
        return
    kinds = {needed: what for needed, (what, _) in TABLES.items()}
    kinds[kernels.COLUMNS] = "matrix products"
    near = max(kinds, key=lambda needed: len(set(needed) & columns) / len(needed))
    lacking = ", ".join(name for name in near if name not in columns)
    raise DataError(
        str(path),
        f"has times, but is no table that is known: as one of {kinds[near]} it lacks the "
        f"columns {lacking}; it has {', '.join(sorted(columns))}",
    )
