"""The ``expect`` section: lines like ``chat.ttft_p99 <= 2 s`` that a run must meet.

The grammar is ``[scope.]metric operator quantity``; which metrics there are, and in which unit, is
checked against the metrics themselves later.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sim.errors import did_you_mean
from sim.spec.nodes import show
from sim.spec.types import NOT_MODELLED, refuse
from sim.spec.types import Value as ValueKind

OPERATORS = (">=", "<=", ">", "<", "==")
_LINE = re.compile(r"\s*([^<>=!≤≥\s]+)\s*([<>=!≤≥]+)\s*(.*?)\s*")
_INSTEAD = {"=": "==", "=<": "<=", "=>": ">=", "≤": "<=", "≥": ">=", "===": "=="}


@dataclass(frozen=True)
class ExpectSpec:
    """One expectation as written, cut into its three parts."""

    text: str
    metric: str
    operator: str
    quantity: str


@dataclass(frozen=True)
class Expectation(ValueKind):
    """Reads one line of ``expect``."""

    def read(self, value: Any) -> ExpectSpec:
        """The line in parts."""
        if isinstance(value, dict):
            if "better" in value:
                raise refuse(f"a paired comparison ('better:') is {NOT_MODELLED}")
            raise refuse("expected text such as chat.ttft_p99 <= 2 s, not a mapping")
        if not isinstance(value, str):
            raise refuse(f"expected text such as chat.ttft_p99 <= 2 s, not {show(value)}")
        match = _LINE.fullmatch(value)
        if match is None:
            example = "'metric operator quantity', such as chat.ttft_p99 <= 2 s"
            raise refuse(f"{show(value)} does not read {example}")
        metric, operator, quantity = match.groups()
        if operator not in OPERATORS:
            close = _INSTEAD.get(operator)
            hint = f" (did you mean {close!r}?)" if close else did_you_mean(operator, OPERATORS)
            raise refuse(f"unknown operator {operator!r}{hint}")
        if not quantity:
            raise refuse(f"{show(value)} lacks the quantity to compare with")
        return ExpectSpec(f"{metric} {operator} {quantity}", metric, operator, quantity)

    def schema(self) -> dict[str, Any]:
        """Text of three parts."""
        return {
            "type": "string",
            "pattern": r"^\s*[^<>=\s]+\s*(>=|<=|==|>|<)\s*\S.*$",
            "examples": ["chat.ttft_p99 <= 2 s", "chat.goodput_fraction >= 99 %"],
        }
