"""How many replicas each pool has when: ``events`` and ``scaling`` in order of time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from sim.spec import Document
from sim.spec.nodes import Path
from sim.spec.scaling import ScalingSpec

#: Steps of one timetable in a run, above which it is refused; a year of five minutes has 105,120.
MOST_STEPS = 1_000_000


class Change(NamedTuple):
    """A pool has so many replicas from then on."""

    at_s: float
    path: Path  # of the number in the file
    kind: str  # "add", "remove" or "scale"
    pool: str
    stated: int
    replicas: int  # from then on; negative where more are taken away than there are


class Peak(NamedTuple):
    """Replicas of a pool, and what in the file brings them; () where it starts with them."""

    replicas: int
    path: Path


def horizon_s(document: Document) -> float:
    """The end of the run: duration and drain."""
    return (document.spec.duration or 0.0) + document.spec.drain


def turns_of(spec: ScalingSpec, end_s: float) -> int:
    """How often a timetable begins before ``end_s``."""
    return 1 if spec.every is None else math.ceil(end_s / spec.every)


def steps(spec: ScalingSpec, end_s: float) -> Iterator[tuple[float, int, int]]:
    """(time, place in the schedule, replicas) before ``end_s``, one beginning after another."""
    stated = [(place, step) for place, step in enumerate(spec.schedule) if step is not None]
    turns = turns_of(spec, end_s)
    if turns * len(stated) > MOST_STEPS:
        return  # refused by ``check_scaling``
    for turn in range(turns):
        begin_s = 0.0 if spec.every is None else turn * spec.every
        for place, step in sorted(stated, key=lambda one: one[1].at):
            if begin_s + step.at < end_s:
                yield begin_s + step.at, place, step.replicas


def changes(document: Document) -> list[Change]:
    """Every change of a known pool, in order of time; at equal times ``scaling`` comes first."""
    have = {spec.name: spec.replicas for spec in document.spec.pools if spec is not None}
    found: list[tuple[float, Path, str, str, int]] = []
    for i, spec in enumerate(document.spec.scaling):
        if spec is not None:
            for at_s, place, replicas in steps(spec, horizon_s(document)):
                step: Path = ("scaling", i, "schedule", place, "replicas")
                found.append((at_s, step, "scale", spec.pool, replicas))
    for i, event in enumerate(document.spec.events):
        change = None if event is None else event.add or event.remove
        if event is not None and change is not None:
            kind = "remove" if event.add is None else "add"
            where: Path = ("events", i, kind, "replicas")
            found.append((event.at, where, kind, change.pool, change.replicas))
    done = []
    for at_s, path, kind, pool, stated in sorted(found, key=lambda one: one[0]):
        if pool in have:
            before = {"add": have[pool], "remove": have[pool], "scale": 0}[kind]
            have[pool] = before - stated if kind == "remove" else before + stated
            done.append(Change(at_s, path, kind, pool, stated, have[pool]))
    return done


def peaks(document: Document) -> dict[str, Peak]:
    """Pool → its most replicas, for those that have changes; () where it starts with them."""
    most: dict[str, Peak] = {}
    for moment in moments(document):
        for pool, peak in moment.items():
            if pool not in most or peak.replicas > most[pool].replicas:
                most[pool] = peak
    changing = {change.pool for change in changes(document)}
    return {pool: peak for pool, peak in most.items() if pool in changing}


def moments(document: Document) -> list[dict[str, Peak]]:
    """Pool → its replicas, at the start and after each instant that changes some."""
    now = {spec.name: Peak(spec.replicas, ()) for spec in document.spec.pools if spec is not None}
    found, at_s = [dict(now)], -1.0
    for change in changes(document):
        now[change.pool] = Peak(change.replicas, change.path)
        if change.at_s == at_s:
            found.pop()
        found.append(dict(now))
        at_s = change.at_s
    return found
