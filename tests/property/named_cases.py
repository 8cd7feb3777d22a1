"""Every named case, by name: see ``named`` for what they are."""

from __future__ import annotations

from tests.property import named_ends, named_prefixes, named_runs
from tests.property.named import LONG, NAMED, PREFIXED

__all__ = ["LONG", "NAMED", "PREFIXED", "named_ends", "named_prefixes", "named_runs"]
