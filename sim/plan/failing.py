"""Failures that a plan tries: which parts of a site they are of, and the events that make them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sim.check.scenario import Scenario
from sim.errors import Problem, ScenarioError, did_you_mean
from sim.results.wording import span
from sim.site.fabric.types import LEVELS, VERTICES, Fabric
from sim.spec.failing import Failing, FailingSpec
from sim.units import format_si

#: Kinds of the power tree that may fail as such; "row" and "hall" are all racks of one.
_POWER = ("utility", "generator", "msb", "ups", "cooling", "pdu", "rack", "server")
KINDS = (*_POWER, "row", "hall", *LEVELS)


@dataclass(frozen=True)
class Failure:
    """What fails at once, as messages call it; ``kind``: as the study asked for it."""

    label: str
    kind: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Moment:
    """When something fails, and when it is whole again; None: never."""

    at_s: float
    until_s: float | None

    def with_failure(self, events: Sequence[Any] | None, failure: Failure) -> str:
        """The events of a scenario and a failure, as ``--set`` takes them (JSON is YAML)."""
        own = list(events or ())
        moments = [("fail", self.at_s)]
        if self.until_s is not None:
            moments.append(("restore", self.until_s))
        more = [
            {"at": f"{at_s!r} s", what: name} for what, at_s in moments for name in failure.names
        ]
        return f"events={json.dumps([*own, *more])}"


def in_words(moment: Moment) -> str:
    """``at 1 min, for good``."""
    ends = moment.until_s
    return f"at {span(moment.at_s)}, " + (
        "for good" if ends is None else f"for {span(ends - moment.at_s)}"
    )


def moment_of(spec: FailingSpec, base: Scenario) -> Moment:
    """When things fail: as stated, or at the end of the base's warm-up, and for good.

    Raises:
        ScenarioError: nothing is measured any more then.
    """
    at_s = base.warm_up_s if spec.at_s is None else spec.at_s
    if at_s >= base.duration_s:
        message = f"requests are measured until {format_si(base.duration_s, 's')} only"
        raise ScenarioError([Problem(spec.mark, "question.at", message)])
    return Moment(at_s, None if spec.for_s is None else at_s + spec.for_s)


def failures_of(spec: FailingSpec, base: Scenario) -> tuple[Failure, ...]:
    """Every failure that is asked for, once.

    Raises:
        ScenarioError: something has no such part.
    """
    parts = _Parts(base)
    problems: list[Problem] = []
    seen: set[frozenset[str]] = set()
    found: list[Failure] = []
    for item in spec.items:
        for failure in parts.of(item, problems):
            if frozenset(failure.names) not in seen:
                seen.add(frozenset(failure.names))
                found.append(failure)
    if not spec.items:
        message = "missing: what may fail, such as survives: [ups, pdu, leaf]"
        problems.append(Problem(spec.mark, "question.survives", message))
    if problems:
        raise ScenarioError(problems)
    return tuple(found)


class _Parts:
    """The parts of a site by kind and by name."""

    def __init__(self, base: Scenario) -> None:
        self._base = base
        self._nodes = {node.name: node.kind for node in base.power.nodes}
        self._fabric: Fabric | None = None

    def of(self, item: Failing, problems: list[Problem]) -> Iterator[Failure]:
        """The failures that an item asks for; what there is none of goes to ``problems``."""
        first = item.names[0]
        if item.together:
            for name in item.names:
                self._known(name, item, problems)
            yield Failure(" + ".join(item.names), "together", item.names)
        elif first in KINDS:
            found = list(self._of_kind(first))
            if not found:
                network = first in LEVELS and self._base.fabric is None
                why = "the base has no 'fabric'" if network else f"the base has no {first}"
                problems.append(Problem(item.mark, item.path, why))
            yield from found
        elif self._known(first, item, problems):
            yield Failure(first, self._nodes.get(first, "part"), (first,))

    def _of_kind(self, kind: str) -> Iterator[Failure]:
        site = self._base.site
        if kind in LEVELS:
            fabric = self._network()
            for name, code in zip(fabric.names, fabric.kinds, strict=True) if fabric else ():
                if VERTICES[int(code)] == kind:
                    yield Failure(name, kind, (name,))
        elif kind in ("row", "hall"):
            rows = site.rack_row
            groups = rows if kind == "row" else site.row_hall[rows]
            names = site.row_names if kind == "row" else site.hall_names
            for at, name in enumerate(names):
                racks = [site.rack_names[int(r)] for r in (groups == at).nonzero()[0]]
                yield Failure(name, kind, tuple(racks))
        else:
            for node in self._base.power.nodes:
                if node.kind == kind:
                    yield Failure(node.name, kind, (node.name,))

    def _network(self) -> Fabric | None:
        if self._fabric is None and self._base.fabric is not None:
            self._fabric = self._base.fabric.build(self._base.site)
        return self._fabric

    def _known(self, name: str, item: Failing, problems: list[Problem]) -> bool:
        """Whether a name is of a part; links and cables are left to the check of events."""
        fabric = self._network()
        names = [*self._nodes, *(fabric.names if fabric else ())]
        if name in names or "/" in name or name.removesuffix(".module") in self._nodes:
            return True
        hint = did_you_mean(name, [*KINDS, *names])
        message = f"the base has no part called {name!r}{hint}"
        problems.append(Problem(item.mark, item.path, message))
        return False
