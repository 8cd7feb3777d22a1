"""Differences in words: values, what B has more, the interval, the verdict and how it came about.

The terminal and the dashboard say the same, because both say it with these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sim.results.wording import percent, quantity
from sim.study.compare import Comparison
from sim.study.difference import (
    BETTER,
    DIFFERS,
    NOT_JUDGED,
    NOT_SHOWN,
    SAME,
    UNCLEAR,
    WORSE,
    Difference,
)
from sim.study.naming import seeds_in_words
from sim.study.sides import ONE_SEED, PAIRED

#: Verdict → its words in a table.
VERDICTS: Mapping[str, str] = {
    BETTER: "B better",
    WORSE: "B worse",
    DIFFERS: "B differs",
    UNCLEAR: "unclear",
    NOT_SHOWN: "not shown",
    SAME: "same",
    NOT_JUDGED: "not judged",
}


def value_in_words(line: Difference, value: float | None) -> str:
    """A value of a side; "-" where it was not measured."""
    if value is None:
        return "-"
    return quantity(value, line.definition.unit, line.definition.dimension)


def distance(line: Difference, value: float) -> str:
    """A difference of two values; of two shares, in percentage points."""
    if line.definition.dimension == "fraction":
        return percent(value).replace(" %", " pp")
    return value_in_words(line, value)


def signed(line: Difference) -> str:
    """B - A with its sign."""
    if line.difference is None:
        return "-"
    sign = "+" if line.difference > 0.0 else "-" if line.difference < 0.0 else ""
    return f"{sign}{distance(line, abs(line.difference))}"


def half_width(line: Difference) -> str:
    """Half the interval; "none" where the difference is the same under every seed."""
    if line.low is None or line.high is None:
        return "none" if line.p is not None else "-"
    return distance(line, (line.high - line.low) / 2.0)


def relative(line: Difference) -> str:
    """B - A in percent of A; "-" where A is 0."""
    if line.difference is None or not line.a:
        return "-"
    share = line.difference / abs(line.a)
    return f"{'+' if share > 0.0 else ''}{percent(share)}"


def explained(found: Comparison) -> Iterator[str]:
    """How the verdicts came about, and why some lines have none."""
    if found.pairing == PAIRED:
        how = f"paired under {seeds_in_words(found.seeds)}"
    elif found.pairing == ONE_SEED:
        how = "without an interval"
    else:
        how = "not paired"
    real = sum(line.verdict in (BETTER, WORSE, DIFFERS) for line in found.differences)
    if found.looked_at:
        yield (
            f"{real} of {found.looked_at} differences are real: {how}, 95 %, corrected (Holm) for "
            f"the {found.looked_at} looked at"
        )
    if any(line.verdict == NOT_SHOWN for line in found.differences):
        yield "not shown: a difference of this size may be chance, or there is none"
    if any(line.verdict == UNCLEAR for line in found.differences):
        yield (
            "unclear: the interval alone leaves 0 out, but among so many metrics one does so by "
            "chance; name the one that matters beforehand (--metric), or take more seeds"
        )
    for line in found.differences:
        if line.reason:
            yield f"{line.name}: {line.reason}"
