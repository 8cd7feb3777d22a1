"""Every named case, by name: see ``named`` for what they are."""

from __future__ import annotations

from tests.property import named_ends, named_runs
from tests.property.named import LONG, NAMED

__all__ = ["LONG", "NAMED", "named_ends", "named_runs"]
