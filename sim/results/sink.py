"""Where rows go while a run writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Sink(Protocol):
    """Takes rows as columns, table by table, in order; bounded memory is the sink's business.

    ``write`` may be called any number of times for a table of ``sim.results.tables.TABLES``;
    columns are equally long sequences, NumPy arrays or Arrow arrays; ``None`` (or NaN in a float
    column) is null.
    """

    def write(self, table: str, columns: Mapping[str, Any]) -> None:
        """Append rows to ``table``."""
        ...

    def abort(self, reason: str) -> None:
        """The run did not reach its end: keep what there is, marked as partial, or nothing."""
        ...
