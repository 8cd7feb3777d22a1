"""What can be compared: results over several seeds, single runs, and single runs together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from dashboard.listing import MANIFEST, PLACEMENT, RUN, SEEDS, Listing
from dashboard.load import Unreadable, guarded, read_view, stamp_of
from sim.results.kind import is_placement, power_nodes
from sim.results.wording import span
from sim.study.naming import seeds_in_words
from sim.study.result import BY_SEED, open_seeds
from sim.study.sides import Side, side_of_run, side_of_seeds

#: Ends the name of a group of single runs of one scenario; no folder's name has a ``*``.
GROUP = "-s*"
_SINGLE = re.compile(r"(?P<stem>.+-[0-9a-f]{8})-s(?P<seed>[0-9]{1,18})")
_SEVERAL = re.compile(r"(?P<stem>.+-[0-9a-f]{8})-s(?P<first>[0-9]{1,18})-(?P<last>[0-9]{1,18})")
_SEEDS_PARTS = (MANIFEST, "metrics.json", BY_SEED)


def groups(listing: Listing) -> dict[str, tuple[str, ...]]:
    """Runs of one scenario under two seeds or more, side by side: ``NAME-s*`` → their names.

    Seeds that a folder of several seeds holds already make no group.
    """
    found: dict[str, dict[int, str]] = {}
    for name in listing.names(RUN, PLACEMENT):
        if match := _SINGLE.fullmatch(name):
            found.setdefault(match["stem"], {})[int(match["seed"])] = name
    for name in listing.names(SEEDS):
        match = _SEVERAL.fullmatch(name)
        seeds = found.get(match["stem"], {}) if match else {}
        if match and all(int(match["first"]) <= seed <= int(match["last"]) for seed in seeds):
            found.pop(match["stem"], None)
    return {
        f"{stem}{GROUP}": tuple(name for _, name in sorted(seeds.items()))
        for stem, seeds in found.items()
        if len(seeds) >= 2
    }


def names_of(listing: Listing) -> tuple[str, ...]:
    """All that can be a side: what has several seeds first, then single runs, newest first."""
    return (*listing.names(SEEDS), *groups(listing), *listing.names(RUN, PLACEMENT))


def other_than(names: Sequence[str], index: int) -> int:
    """Index of what to set against ``names[index]``: another of the same scenario if there is."""

    def scenario(name: str) -> str:
        return re.sub(r"-[0-9a-f]{8}-s.*", "", name)

    others = [i for i in range(len(names)) if i != index]
    alike = [i for i in others if scenario(names[i]) == scenario(names[index])]
    return (alike or others or [index])[0]


def read_side(listing: Listing, name: str) -> tuple[Side, tuple[int, ...]]:
    """A side, and a stamp that changes when its files are written again.

    Raises:
        Unreadable: it is not there, not whole, or its runs are not of one scenario.
    """
    if name in listing.names(SEEDS):
        stamp = stamp_of(listing.root / name, _SEEDS_PARTS)
        return guarded(lambda: _seeds_side(str(listing.root), name, stamp)), stamp
    members = groups(listing).get(name)
    if members is None:
        view = read_view(listing, name)
        return guarded(lambda: side_of_run(name, view.result)), view.stamp
    return _group_side(listing, name, members)


@st.cache_resource(max_entries=16, show_spinner=False)
def _seeds_side(root: str, name: str, stamp: tuple[int, ...]) -> Side:
    return side_of_seeds(name, open_seeds(Path(root, name)))


def _group_side(
    listing: Listing, name: str, members: Sequence[str]
) -> tuple[Side, tuple[int, ...]]:
    """Single runs as one side.

    Raises:
        Unreadable: one is not whole, or of another scenario, version or input than the first.
    """
    views = [read_view(listing, member) for member in members]
    stamp = tuple(part for view in views for part in view.stamp)
    sides = [guarded(lambda view=view: side_of_run(view.name, view.result)) for view in views]
    first = views[0]
    for view in views[1:]:
        for key, what in (("resolved", "scenario"), ("versions", "version"), ("inputs", "input")):
            if view.manifest.get(key) != first.manifest.get(key):
                raise Unreadable(
                    f"{view.name} and {first.name} are not of the same {what}, so they are not "
                    "seeds of one thing; choose them one by one"
                )
    by_seed = {seed: metrics for side in sides for seed, metrics in side.by_seed.items()}
    if len(by_seed) < len(views):
        raise Unreadable(f"runs of {name} have the same seed; choose them one by one")
    folders = {seed: folder for side in sides for seed, folder in side.folders.items()}
    return Side(name, first.manifest, by_seed, power_nodes(first.result), folders), stamp


def why_not(a: Side, b: Side) -> str:
    """Why two sides cannot be compared, and what would be right; "" if they can."""
    placed = [is_placement(side.manifest) for side in (a, b)]
    if placed[0] != placed[1]:
        return (
            f"{(a if placed[0] else b).name} is a placement and the other served requests: choose "
            "two of one kind."
        )
    if placed[0]:
        return ""
    windows = [side.manifest["window"] for side in (a, b)]
    for key, what in (("measured_s", "measures"), ("warm_up_s", "warms up for"),
                      ("duration_s", "has arrivals for")):  # fmt: skip
        lengths = [float(window[key]) for window in windows]
        if lengths[0] != lengths[1]:
            return (
                f"Their windows differ: A {what} {span(lengths[0])}, B {span(lengths[1])}, so a "
                "difference could be of the window alone. Run both with the same duration and "
                "warm_up."
            )
    if sorted(a.workloads) != sorted(b.workloads):
        common = [name for name in a.workloads if name in b.workloads]
        way = (
            f" On the command line 'rackplan compare' looks at what both have: {', '.join(common)}."
            if common
            else ""
        )
        return (
            f"Their workloads differ: A serves {', '.join(a.workloads)}; B serves "
            f"{', '.join(b.workloads)}. A workload must have the same name in both, and the site's "
            f"numbers are of all of them.{way}"
        )
    return ""


def metrics_of_both(a: Side, b: Side) -> list[str]:
    """Full names of the metrics that both sides have."""
    in_b = {name for metrics in b.by_seed.values() for name in metrics}
    every = dict.fromkeys(name for metrics in a.by_seed.values() for name in metrics)
    return [name for name in every if name in in_b]


def about(side: Side) -> str:
    """What a side is, in a line."""
    manifest = side.manifest
    seeds = seeds_in_words(side.by_seed)
    return f"{manifest['scenario']}, {seeds}, {manifest['engine']} engine"
