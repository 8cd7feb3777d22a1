"""The best next upgrade per dollar: asked, answered, told."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sim.plan.kinds import How, refuse_shadow
from sim.plan.least.content import content_of
from sim.plan.least.told import told_of as told_of_plan
from sim.plan.runs import Making
from sim.plan.told import BAD, BARS, GOOD, OPEN, Chart, Part, Series, Table, Told
from sim.plan.upgrade.find import (
    Capacity,
    Upgraded,
    UpgradePlan,
    Upgrades,
    best_upgrade,
    load_upgrades,
)  # fmt: skip
from sim.results.manifest import plain

#: Gains are told for so many dollars.
_PER_USD = 100_000.0
DEFINITIONS = {
    "gain": "capacity with the option less that of the site as it is, both found by the same "
    "search under the same seeds; from the least to the most that the values not excluded allow",
    "cost": "as stated, or the capital of the site with the option less that of the site as it is",
}


@dataclass(frozen=True)
class UpgradeAnswer:
    """Every option with its gain."""

    found: UpgradePlan

    @property
    def answered(self) -> bool:
        """Whether an option adds anything."""
        return self.found.best is not None

    def content(self) -> dict[str, Any]:
        """All of it in JSON types."""
        found = self.found
        content = plain(
            {
                "name": found.upgrades.question.name,
                "base": found.upgrades.question.spec.base,
                "unit": _unit(found),
                "best": None if found.best is None else found.best.option.name,
                "not_told_apart": [one.option.name for one in found.rivals],
                "capacity": _capacity(found.base),
                "options": [
                    {
                        "name": one.option.name,
                        "cost_usd": one.option.cost_usd,
                        "cost_reckoned": one.option.reckoned,
                        "capacity": _capacity(one.capacity),
                        "gain": _finite(one.gain),
                        "gain_low": _finite(one.gain_interval.low),
                        "gain_high": _finite(one.gain_interval.high),
                        "gain_per_usd": _finite(one.per_usd),
                        "status": one.plan.status,
                    }
                    for one in found.options
                ],
                "definitions": DEFINITIONS,
                "plan": content_of(found.plan),
            }
        )
        assert isinstance(content, dict)
        return content

    def told(self) -> Told:
        """All of it for a reader."""
        found, question = self.found, self.found.upgrades.question
        spec = question.spec
        return Told(
            asked=f"{question.name}: which upgrade adds most to {spec.where} of {spec.base}, for "
            f"each dollar, with {', '.join(line.text for line in question.objectives)} held?",
            headline=_headline(found),
            meant=BAD if found.best is None else OPEN if found.rivals else GOOD,
            reasons=tuple(_reasons(found)),
            parts=(
                Part("Options", tables=(_table(found),), charts=tuple(_charts(found))),
                *(
                    Part(
                        f"The site as it is: {part.heading}",
                        part.sentences,
                        part.tables,
                        part.charts,
                    )
                    for part in told_of_plan(found.plan, None).parts
                ),
            ),
        )


def _capacity(capacity: Capacity) -> dict[str, Any]:
    return {
        "value": _finite(capacity.value),
        "low": _finite(capacity.interval.low),
        "high": _finite(capacity.interval.high),
        "at_least": capacity.at_least,
        "binding": capacity.binding,
    }


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _unit(found: UpgradePlan) -> str:
    return " ".join(str(found.upgrades.question.values[0]).split()[1:])


def _headline(found: UpgradePlan) -> str:
    best = found.best
    if best is None:
        return "NONE  no option adds anything that was shown"
    word = "BEST" if best.gains and not found.rivals else "LIKELY"
    return (
        f"{word}  {best.option.name}: {_gain(best, _unit(found))} for {_usd(best.option.cost_usd)}"
    )


def _reasons(found: UpgradePlan) -> Iterator[str]:
    unit = _unit(found)
    base = found.base
    yield (
        f"as it is the site carries {_range(base, unit)}; what ends it: {base.binding}"
        if base.known
        else "as it is the site meets the lines at no value that was asked about"
    )
    if base.known and base.at_least:
        yield "it carries all that was asked about: with a larger 'to' options may differ"
    if found.rivals:
        names = ", ".join(one.option.name for one in found.rivals)
        yield f"not told apart per dollar by what is not excluded: {names}"
    for one in found.options:
        if one.gain <= 0.0:
            what = "adds nothing"
            if one.gain < 0.0:
                worse = one.gain_interval.high < 0.0
                what = "makes it worse" if worse else "looks worse, which is not certain"
            what = what if one.capacity.known else "meets the lines nowhere"
            yield f"{one.option.name} {what}; what ends it then: {one.capacity.binding}"


def _range(capacity: Capacity, unit: str) -> str:
    text = f"{'at least ' if capacity.at_least else ''}{capacity.value:g} {unit}".rstrip()
    low, high = capacity.interval.low, capacity.interval.high
    if not capacity.at_least and low < high:
        text += f" ({low:g} to {high:g} not excluded)"
    return text


def _gain(one: Upgraded, unit: str) -> str:
    if not one.capacity.known:
        return "-"
    low, high = one.gain_interval.low, one.gain_interval.high
    text = f"{one.gain:+.4g} {unit}".rstrip()
    if one.capacity.at_least:
        return f"at least {text}"
    return text if low == high else f"{text} ({low:+.4g} to {high:+.4g})"


def _usd(cost_usd: float) -> str:
    return "nothing" if cost_usd == 0.0 else f"{cost_usd:,.0f} USD"


def _per(one: Upgraded) -> str:
    if not one.capacity.known or one.gain <= 0.0:
        return "-"
    if math.isinf(one.per_usd):
        return "free"
    low, high = (_PER_USD * end for end in (one.per_usd_interval.low, one.per_usd_interval.high))
    upper = f"to {high:.3g}" if math.isfinite(high) else "or more"
    return f"{_PER_USD * one.per_usd:.3g} ({low:.3g} {upper})"


def _table(found: UpgradePlan) -> Table:
    unit = _unit(found)
    rows = [("as it is", "", _span(found.base), "", "", found.base.binding)]
    rows += [
        (
            one.option.name,
            f"{_usd(one.option.cost_usd)}{' [reckoned]' if one.option.reckoned else ''}",
            _span(one.capacity),
            _gain(one, ""),
            _per(one),
            one.capacity.binding,
        )
        for one in found.options
    ]
    best = [i for i, one in enumerate(found.options, 1) if one is found.best]
    of = f", {unit}" if unit else ""
    return Table(
        ("option", "cost", f"capacity{of}", f"gain{of}", "a 100,000 USD", "what ends it then"),
        tuple(rows),
        left=frozenset({0, 5}),
        chosen=frozenset(best),
        note="in brackets what is not excluded; the most gain for a dollar first, and what it is "
        "for 100,000 USD; one option at a time; reckoned: the difference in capital by costs: and "
        "the shipped prices",
    )


def _span(capacity: Capacity) -> str:
    """A capacity in a table, whose heading has the unit."""
    if not capacity.known:
        return "none"
    low, high = capacity.interval.low, capacity.interval.high
    if capacity.at_least:
        return f"at least {capacity.value:g}"
    return f"{capacity.value:g}" if low == high else f"{capacity.value:g} ({low:g} to {high:g})"


def _charts(found: UpgradePlan) -> Iterator[Chart]:
    known = [one for one in found.options if one.capacity.known]
    if not known:
        return
    unit = _unit(found)
    yield Chart(
        "What each option adds",
        BARS,
        "option",
        f"gain ({unit})" if unit else "gain",
        (
            Series(
                "gain",
                tuple(one.gain for one in known),
                low=tuple(one.gain_interval.low for one in known),
                high=tuple(one.gain_interval.high for one in known),
                names=tuple(one.option.name for one in known),
            ),
        ),
    )


@dataclass(frozen=True)
class UpgradeAsked:
    """A checked question for the best next upgrade."""

    upgrades: Upgrades

    @property
    def name(self) -> str:
        """The study's name."""
        return self.upgrades.question.name

    @property
    def warnings(self) -> tuple[str, ...]:
        """Of the site as it is."""
        return self.upgrades.question.warnings

    def answer(self, making: Making, how: How) -> UpgradeAnswer:
        """Find the capacities.

        Raises:
            RunFailed, RackplanError: as ``make_plan``, or ``how`` does not apply.
        """
        refuse_shadow(how, "upgrades")
        return UpgradeAnswer(best_upgrade(self.upgrades, making))


def load(
    path: str | os.PathLike[str], *, sets: Sequence[str], seeds: int | None, allow_outside: bool
) -> UpgradeAsked:
    """Read and check such a study.

    Raises:
        ScenarioError: everything that is wrong with it.
    """
    return UpgradeAsked(load_upgrades(path, sets=sets, seeds=seeds, allow_outside=allow_outside))
