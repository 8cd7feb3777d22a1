"""A sink for measuring what comes before results."""

from __future__ import annotations

from typing import Any


class DropRows:
    """A sink that takes rows of every form and keeps none."""

    def __init__(self) -> None:
        self.requests = 0

    def write(self, table: str, columns: Any) -> None:
        """Count."""
        self.requests += len(columns["request_id"]) if table == "requests" else 0

    def write_requests(self, rows: Any) -> None:
        """Count."""
        self.requests += len(rows)

    def write_power(self, rows: Any) -> None:
        """Nothing."""

    def write_minutes(self, rows: Any) -> None:
        """Nothing."""

    def abort(self, reason: str) -> None:
        """Nothing."""
