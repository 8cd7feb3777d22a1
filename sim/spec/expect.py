"""The ``expect`` section: lines like ``chat.ttft_p99 <= 2 s`` that a run must meet.

The grammar is ``[scope.]metric operator quantity``; which metrics there are, and in which unit, is
checked against the metrics themselves later. A mapping with ``better`` compares two variants of the
scenario under the same seeds::

    - {better: {policies.routing: [least-outstanding-tokens, random]}, metric: chat.ttft_p99,
       by: 10 %, confidence: 95 %}
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from sim.errors import did_you_mean
from sim.spec.nodes import show
from sim.spec.quantity import read_quantity
from sim.spec.types import Value as ValueKind
from sim.spec.types import refuse
from sim.units import UnitError

OPERATORS = (">=", "<=", ">", "<", "==")
_LINE = re.compile(r"\s*([^<>=!≤≥\s]+)\s*([<>=!≤≥]+)\s*(.*?)\s*")
_INSTEAD = {"=": "==", "=<": "<=", "=>": ">=", "≤": "<=", "≥": ">=", "===": "=="}
_POLICY = re.compile(r"(?:^|\.)policies\.\w+$")
_POINTS = re.compile(r"\s*(\S+)\s*points?\s*")
_BETTER_KEYS = ("better", "metric", "by", "confidence")
_BETTER_EXAMPLE = (
    "{better: {policies.routing: [least-outstanding-tokens, random]}, metric: chat.ttft_p99}"
)


@dataclass(frozen=True)
class ExpectSpec:
    """One expectation as written, cut into its three parts."""

    text: str
    metric: str
    operator: str
    quantity: str


@dataclass(frozen=True)
class BetterSpec:
    """A paired comparison of two variants of the scenario: the first is better.

    Attributes:
        text: in words, as a name of the line.
        metric: full name.
        first, second: what each variant sets, as ``--set`` takes it.
        by: by which share of the second's value, at least.
        points: by how much at least, where the metric is a share and ``by`` says points of it.
        confidence: with which this is to be shown.
    """

    text: str
    metric: str
    first: tuple[str, ...]
    second: tuple[str, ...]
    by: float
    confidence: float
    points: float = 0.0


@dataclass(frozen=True)
class Expectation(ValueKind):
    """Reads one line of ``expect``."""

    def read(self, value: Any) -> ExpectSpec | BetterSpec:
        """The line in parts."""
        if isinstance(value, dict) and "better" in value:
            return _better(value)
        if isinstance(value, dict):
            raise refuse(
                "expected text such as chat.ttft_p99 <= 2 s, or a comparison such as "
                f"{_BETTER_EXAMPLE}"
            )
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
        """Text of three parts, or a comparison."""
        text = {
            "type": "string",
            "pattern": r"^\s*[^<>=\s]+\s*(>=|<=|==|>|<)\s*\S.*$",
            "examples": ["chat.ttft_p99 <= 2 s", "chat.goodput_fraction >= 99 %"],
        }
        two = {"type": "array", "minItems": 2, "maxItems": 2}
        share = {"type": ["string", "number"], "examples": ["10 %"]}
        by = {"type": ["string", "number"], "examples": ["10 %", "0.5 points"]}
        comparison = {
            "type": "object",
            "properties": {
                "better": {"type": "object", "minProperties": 1, "additionalProperties": two},
                "metric": {"type": "string", "examples": ["chat.ttft_p99"]},
                "by": by,
                "confidence": share,
            },
            "required": ["better", "metric"],
            "additionalProperties": False,
        }
        return {"anyOf": [text, comparison]}


def _better(value: dict[Any, Any]) -> BetterSpec:
    """A comparison from its mapping; refuses what is not one."""
    for key in value:
        if key not in _BETTER_KEYS:
            hint = did_you_mean(str(key), _BETTER_KEYS)
            raise refuse(f"a comparison has {', '.join(_BETTER_KEYS)}; not {show(key)}{hint}")
    pairs, metric = value["better"], value.get("metric")
    if not isinstance(metric, str) or not metric:
        raise refuse(f"a comparison needs the metric to compare: {_BETTER_EXAMPLE}")
    if not isinstance(pairs, dict) or not pairs:
        raise refuse(f"'better' maps a path to two values, the better first: {_BETTER_EXAMPLE}")
    sides: tuple[list[str], list[str]] = ([], [])
    words: tuple[list[str], list[str]] = ([], [])
    for path, two in pairs.items():
        if not isinstance(path, str) or not isinstance(two, list) or len(two) != 2:
            raise refuse(
                f"'better' maps a path to two values, the better first; {show(path)} has "
                f"{show(two)}"
            )
        if two[0] == two[1]:
            raise refuse(f"both variants have {path} {show(two[0])}: nothing differs")
        for side, word, one in zip(sides, words, two, strict=True):
            side.append(f"{path}={_as_set(path, one)}")
            word.append(_word(one))
    by, points = _by(value.get("by", 0.0))
    confidence = _share("confidence", value.get("confidence", 0.95))
    if not 0.5 <= confidence < 1.0:
        raise refuse(f"confidence is a share such as 95 %, not {show(value['confidence'])}")
    text = f"{metric}: {', '.join(words[0])} better than {', '.join(words[1])}"
    text += f" by {100 * by:g} %" if by else f" by {100 * points:g} points" if points else ""
    return BetterSpec(text, metric, tuple(sides[0]), tuple(sides[1]), by, confidence, points)


def _by(value: Any) -> tuple[float, float]:
    """``10 %`` → a share of the second's value; ``0.5 points`` → so much of a metric in percent."""
    match = _POINTS.fullmatch(value) if isinstance(value, str) else None
    return (_share("by", value), 0.0) if match is None else (0.0, _share("by", f"{match[1]} %"))


def _as_set(path: str, value: Any) -> str:
    """A value as ``--set`` takes it; the word of a policy is its kind."""
    if isinstance(value, str):
        return f"{{kind: {value}}}" if _POLICY.search(path) else value
    return json.dumps(value, ensure_ascii=False)  # JSON is YAML on one line


def _word(value: Any) -> str:
    """A value as a word of a name: a policy's kind, else what is written."""
    if isinstance(value, dict) and isinstance(value.get("kind"), str):
        rest = [f"{key} {item}" for key, item in value.items() if key != "kind"]
        return " ".join([value["kind"], *rest])
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _share(key: str, value: Any) -> float:
    try:
        share = read_quantity(value, "fraction")
    except UnitError as error:
        raise refuse(f"{key}: {error}") from None
    if not 0.0 <= share <= 1.0:
        raise refuse(f"{key} is a share from 0 to 100 %, not {show(value)}")
    return share
