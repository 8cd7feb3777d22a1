"""Two results side by side: what ``rackplan compare`` says of them, as sentences and frames."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st
import yaml

from dashboard.load import guarded
from sim.errors import ResultError
from sim.study.compare import Comparison
from sim.study.compare import compare as compare_sides
from sim.study.difference import BETTER, DIFFERS, SAME, UNCLEAR, WORSE, Difference
from sim.study.sides import Side
from sim.study.told_difference import (
    VERDICTS,
    distance,
    half_width,
    relative,
    signed,
    value_in_words,
)

#: Longer differences of two scenarios are cut.
_MOST_LINES = 400
#: An outlier is drawn as an arrow if it is so many times further out than all others, and among
#: the outermost quarter: drawn, it would press the others to the zero rule.
_FAR, _OUTER = 4.0, 0.25
#: These are told in the first sentence, whether they differ or not.
_TOLD = ("ttft_p99", "goodput_fraction")


def compared(
    a: Side, b: Side, stamps: tuple[tuple[int, ...], ...], names: tuple[str, ...]
) -> Comparison:
    """What ``rackplan compare A B`` says (with ``--metric`` for each of ``names``).

    Raises:
        Unreadable: the command refuses it.
    """
    return guarded(lambda: _compared(a, b, (a.name, b.name), stamps, names))


@st.cache_resource(max_entries=32, show_spinner=False)
def _compared(
    _a: Side,
    _b: Side,
    who: tuple[str, str],
    stamps: tuple[tuple[int, ...], ...],
    names: tuple[str, ...],
) -> Comparison:
    found = compare_sides(_a, _b, list(names) or None)
    for line in found.differences:
        numbers = (line.a, line.b, line.difference, line.low, line.high)
        if not all(number is None or math.isfinite(number) for number in numbers):
            raise ResultError(f"{line.name} has a value that no run measures")
    return found


def table_rows(found: Comparison) -> list[dict[str, str]]:
    """The table, in the words of the command."""
    return [
        {
            "metric": line.name,
            "verdict": VERDICTS[line.verdict],
            "A": value_in_words(line, line.a),
            "B": value_in_words(line, line.b),
            "B − A": signed(line),
            "± (95 %)": half_width(line),
            "of A": relative(line),
            "better is": line.definition.better or "neither",
            "what it is": line.definition.definition,
        }
        for line in found.differences
    ]


@dataclass(frozen=True)
class Forest:
    """Differences in % of A, for a forest plot.

    Attributes:
        frame: one row a metric that can be drawn, in the order of the table: ``metric``,
            ``percent``, ``low``, ``high`` (NaN without an interval), ``shown``, ``from``, ``to``
            (cut to the axis), ``beyond`` (-1, 0 or 1: the side on which it lies off the axis),
            ``verdict``, ``words``, ``p``, ``definition``.
        limit: the axis goes from -limit to limit, in %.
        left_out: metric → why it is not drawn.
    """

    frame: pd.DataFrame
    limit: float
    left_out: Mapping[str, str]


def forest(found: Comparison) -> Forest:
    """The differences of a comparison, in % of A."""
    rows: list[dict[str, Any]] = []
    left_out: dict[str, str] = {}
    for line in found.differences:
        if line.difference is None:
            left_out[line.name] = "not measured"
        elif not line.a:
            left_out[line.name] = "A is 0"
        else:
            rows.append(_forest_row(line))
    columns = ["metric", "percent", "low", "high", "verdict", "words", "p", "definition"]
    frame = pd.DataFrame(rows, columns=columns)
    reach = frame[["percent", "low", "high"]].abs().max(axis=1)
    limit = 1.08 * axis_limit(list(reach))
    shown = frame["percent"].clip(-limit, limit)
    frame["shown"] = shown
    frame["from"] = frame["low"].astype(float).clip(-limit, limit)
    frame["to"] = frame["high"].astype(float).clip(-limit, limit)
    frame["beyond"] = [0 if abs(p) <= limit else 1 if p > 0.0 else -1 for p in frame["percent"]]
    return Forest(frame, limit, left_out)


def _forest_row(line: Difference) -> dict[str, Any]:
    assert line.a is not None
    assert line.difference is not None
    scale = 100.0 / abs(line.a)
    nan = float("nan")
    return {
        "metric": line.name,
        "percent": scale * line.difference,
        "low": nan if line.low is None else scale * line.low,
        "high": nan if line.high is None else scale * line.high,
        "verdict": line.verdict,
        "words": f"{relative(line)}{_interval(line)} of A: {value_in_words(line, line.a)} → "
        f"{value_in_words(line, line.b)}",
        "p": "–" if line.p_holm is None else f"{line.p_holm:.2g}",
        "definition": line.definition.definition,
    }


def axis_limit(reach: Sequence[float]) -> float:
    """How far from 0 an axis must go for all but far outliers; > 0."""
    known = sorted(value for value in reach if value > 0.0)
    limit = known[-1] if known else 1.0
    for index in range(len(known) - 1, 0, -1):
        if len(known) - index > max(1, int(_OUTER * len(known))):
            break
        if known[index] > _FAR * known[index - 1]:
            limit = known[index - 1]
    return limit


def spoken(name: str) -> str:
    """A metric's name as one says it: ``chat TTFT p99``, ``goodput of power[ups-a]``."""
    of, _, base = name.rpartition(".")
    words = base.replace("_", " ")
    for word in ("ttft", "tpot", "itl", "e2e", "pue"):
        words = re.sub(rf"\b{word}\b", word.upper(), words)
    words = words.removesuffix(" fraction").removesuffix(" s").removesuffix(" w")
    return f"{of} {words}" if of else words


def headline(found: Comparison) -> tuple[str, str]:
    """The answer in a sentence, and the state it is shown in."""
    lines = found.differences
    if not found.looked_at:
        if lines and all(line.verdict == SAME for line in lines):
            return "A and B measured the same under every seed.", "none"
        return "", "none"
    real = [line for line in lines if line.verdict in (BETTER, WORSE, DIFFERS)]
    told = [line for line in lines if line.definition.name in _TOLD]
    first = [line for line in told if line in real]
    # If those that users feel do not differ, the surest others are told.
    rest = sorted((line for line in real if line not in told), key=lambda line: line.p_holm or 0.0)
    parts = [_told(line) for line in [*first, *rest][: max(2, len(first))]]
    quiet = [spoken(line.name) for line in told if line not in real]
    sentence = f"B's {', and its '.join(parts)}" if parts else "No difference is shown"
    if quiet and parts:
        sentence += f"; no difference shown in {' and '.join(quiet)}"
    better, worse = (any(line.verdict == v for line in real) for v in (BETTER, WORSE))
    state = "good" if better and not worse else "bad" if worse and not better else "none"
    return f"{sentence}.", state


def counts(found: Comparison) -> str:
    """How many metrics went which way."""
    words = (
        (BETTER, "B better in"), (WORSE, "worse in"), (DIFFERS, "different in"),
        (UNCLEAR, "unclear in"),
    )  # fmt: skip
    found_in = [
        f"{word} {count}"
        for verdict, word in words
        if (count := sum(line.verdict == verdict for line in found.differences))
    ]
    rest = len(found.differences) - sum(
        line.verdict in (BETTER, WORSE, DIFFERS, UNCLEAR) for line in found.differences
    )
    if rest:
        found_in.append(f"no difference shown in {rest}")
    return f"Of {len(found.differences)} metrics: {', '.join(found_in)}"


def load_note(found: Comparison) -> str:
    """That the sides serve different loads, so that a difference is of those, too; "" if not."""
    paths = [change.path for change in found.changes if change.path.startswith("workload")]
    if not paths:
        return ""
    more = f" and {len(paths) - 2} more" if len(paths) > 2 else ""
    return (
        f"the loads differ ({', '.join(paths[:2])}{more}), so differences are of the load as well "
        "as of the rest"
    )


def _told(line: Difference) -> str:
    assert line.difference is not None
    higher = line.difference > 0.0
    size, interval = relative(line).lstrip("+-"), _interval(line)
    if line.definition.dimension == "fraction" or not line.a:
        size = distance(line, abs(line.difference))
        interval = _absolute(line)
    verdict = {BETTER: "better", WORSE: "worse"}.get(line.verdict, "neither better nor worse")
    way = "higher" if higher else "lower"
    return f"{spoken(line.name)} is {size} {way}{interval}, {verdict}"


def _interval(line: Difference) -> str:
    """`` (8 to 16 %)``: the interval in % of A; signs are left out where both ends have the same
    as the difference."""
    if line.low is None or line.high is None or not line.a:
        return ""
    ends = [100.0 * end / abs(line.a) for end in (line.low, line.high)]
    return f" ({_ends(ends)} %)"


def _absolute(line: Difference) -> str:
    if line.low is None or line.high is None:
        return ""
    if line.low * line.high < 0.0:
        return ""
    ends = sorted((abs(line.low), abs(line.high)))
    low, high = (distance(line, end) for end in ends)
    if low.partition(" ")[2] == high.partition(" ")[2]:
        low = low.partition(" ")[0]
    return f" ({low} to {high})"


def _ends(ends: Sequence[float]) -> str:
    if ends[0] * ends[1] >= 0.0:
        ends = sorted(map(abs, ends))
    return f"{ends[0]:.3g} to {ends[1]:.3g}"


def scenario_difference(a: Side, b: Side) -> tuple[str, int]:
    """The unified difference of the resolved scenarios as YAML, and how many lines were cut off.

    Raises:
        ResultError: a scenario is nested as no scenario is.
    """
    texts = [_yaml(side.manifest["resolved"]) for side in (a, b)]
    names = [f"{letter}: {side.name}" for letter, side in (("A", a), ("B", b))]
    lines = list(difflib.unified_diff(*texts, *names, lineterm="", n=3))
    return "\n".join(lines[:_MOST_LINES]), max(0, len(lines) - _MOST_LINES)


_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def _yaml(tree: Any) -> list[str]:
    try:
        text = yaml.dump(tree, Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=110)
    except RecursionError as error:
        raise ResultError("a resolved scenario is nested too deeply to be one") from error
    return str(text).splitlines()


def diff_frame(text: str) -> pd.DataFrame:
    """The lines of a difference, for a file."""
    return pd.DataFrame({"line": text.splitlines()})
