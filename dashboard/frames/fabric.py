"""The links of a run's network: tiers, pairs of ends for a heat map, use over time."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dashboard.frames.bins import fine_width
from dashboard.load import RunView, ask
from sim.errors import ResultError

#: Most rows and columns of a heat map; more ends are grouped.
MOST_ROWS, MOST_COLUMNS = 64, 40
#: Most links that the table of a tier shows.
MOST_LINKS = 200
#: From here on a tier counts as having been full, as a share of the window.
TOUCHED = 0.001
_ARROW = " → "
#: Kinds from a GPU outwards: the inner end of a tier is the row of its heat map, whichever way.
_OUTWARDS = ("gpu", "nvswitch", "node", "nic", "leaf", "spine", "core", "storage", "disks")
#: What is cut off a name to get the name of what it stands in: a server, a rack, a row.
_BY = ("server", "rack", "row")
_STANDS_IN = (r"-(nic|gpu)-\d+$|-nvswitch$|-disks$", r"-node-\d+$", r"-rack-\d+$")


@dataclass(frozen=True)
class HeatMap:
    """Pairs of ends of one tier.

    Attributes:
        cells: one row a pair whose links carried something or were down: ``row``, ``column``,
            ``pair``, ``links`` (how many), ``mean_use``, ``max_use``, ``full`` (share of the
            window, of the link that was full longest), ``held`` (flows).
        rows, columns: their names in order.
        row_title, column_title: what they are, such as ``leaf``, or ``nic, by server``.
    """

    cells: pd.DataFrame
    rows: list[str]
    columns: list[str]
    row_title: str
    column_title: str


_TIERS = "select * from link_tiers"


def tiers(run: RunView) -> pd.DataFrame:
    """The table ``link_tiers``, in its order.

    Raises:
        ResultError: it is unreadable or holds a number that no run measures.
    """
    found = ask(run, _TIERS)
    _check(found, ("max_use", "mean_use"))
    return found


def first_tier(found: pd.DataFrame) -> int:
    """Place of the tier that says most: full longest, then with the busiest link."""
    order = list(zip(found["saturated_s"], found["max_use"], found["bytes"], strict=True))
    return max(range(len(order)), key=lambda place: (*order[place], -place))


_LINKS = """
    select link, name, capacity_bytes_per_s, bytes, mean_use, p99_use, max_use, saturated_s, down_s,
           flows, held_flows, most_waiting
    from links where tier = $tier
"""


def links_of(run: RunView, tier: str) -> pd.DataFrame:
    """The links of a tier that carried something or were down, with their ``pair`` of ends.

    Adds ``inner`` and ``outer`` (names of their ends), ``row``, ``column`` and ``pair`` as in the
    heat map. Fullest first.

    Raises:
        ResultError: the table is unreadable or holds a number that no run measures.
    """
    found = ask(run, _LINKS, tier=tier)
    _check(found, ("mean_use", "max_use", "p99_use"))
    ends = [_ends(name) for name in found["name"]]
    turned = is_inwards(tier)
    found["inner"] = [pair[turned] for pair in ends]
    found["outer"] = [pair[not turned] for pair in ends]
    (rows, by_row), (columns, by_column) = _grouped(found["inner"], found["outer"])
    found["row"], found["column"] = rows, columns
    found.attrs["by"] = by_row, by_column
    found["pair"] = [pair_name(row, column) for row, column in zip(rows, columns, strict=True)]
    order = ["saturated_s", "max_use", "mean_use"]
    return found.sort_values([*order, "link"], ascending=[False, False, False, True]).reset_index(
        drop=True
    )


def _ends(name: str) -> tuple[str, str]:
    """Names of the two ends of a link, without the number of its cable."""
    one, arrow, other = re.sub(r"#\d+$", "", str(name)).partition(_ARROW)
    if not arrow:
        raise ResultError(f"a link is named {name!r}, which names no two ends")
    return one, other


def kinds_of(tier: str) -> tuple[str, str]:
    """The kinds of the inner and the outer end of a tier."""
    one, _, other = tier.partition(_ARROW)
    return (other, one) if is_inwards(tier) else (one, other)


def is_inwards(tier: str) -> bool:
    """Whether the links of a tier lead towards the GPUs."""
    one, _, other = tier.partition(_ARROW)
    return _depth(one) > _depth(other)


def _depth(kind: str) -> int:
    return _OUTWARDS.index(kind) if kind in _OUTWARDS else len(_OUTWARDS)


def pair_name(row: str, column: str) -> str:
    """How a pair of ends is named."""
    return f"{row} · {column}"


Names = tuple[list[str], str]


def _grouped(inner: Iterable[str], outer: Iterable[str]) -> tuple[Names, Names]:
    """Rows and columns of a heat map for each link, and what they are grouped by.

    Of links inside a server the columns are the places inside it: ``nic-3``.
    """
    one, other = list(inner), list(outer)
    inside = [re.sub(_STANDS_IN[0], "", name) for name in one]
    if one and inside == [re.sub(_STANDS_IN[0], "", name) for name in other]:
        places = [
            max(a, b, key=len).removeprefix(name).lstrip("-")
            for a, b, name in zip(one, other, inside, strict=True)
        ]
        rows, by = _fitted(inside, MOST_ROWS)
        return (rows, by or _BY[0]), _fitted(places, MOST_COLUMNS)
    return _fitted(one, MOST_ROWS), _fitted(other, MOST_COLUMNS)


def _fitted(names: list[str], most: int) -> Names:
    """The names, or of what they stand in, until they are few enough; then blocks of neighbours.

    The ends of servers' links are their NICs; a server is a row even where NICs would fit, because
    the other axis tells them apart.
    """
    shown, by = [re.sub(_STANDS_IN[0], "", name) for name in names], ""
    if shown != names:
        by = _BY[0]
    for cut, word in zip(_STANDS_IN[1:], _BY[1:], strict=True):
        if len(set(shown)) <= most:
            return shown, by
        cut_off = [re.sub(cut, "", name) for name in shown]
        by = word if cut_off != shown else by
        shown = cut_off
    distinct = natural(set(shown))
    if len(distinct) <= most:
        return shown, by
    size = -(-len(distinct) // most)
    block = {}
    for start in range(0, len(distinct), size):
        part = distinct[start : start + size]
        block |= dict.fromkeys(part, part[0] if len(part) == 1 else f"{part[0]} to {part[-1]}")
    return [block[name] for name in shown], "neighbours"


def natural(names: Iterable[str]) -> list[str]:
    """Names in the order in which people count: ``leaf-2`` before ``leaf-10``."""
    return sorted(names, key=_counted)


def _counted(name: str) -> list[tuple[bool, int, str]]:
    parts = re.split(r"(\d{1,18})", name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def heat_map(run: RunView, tier: str, links: pd.DataFrame) -> HeatMap:
    """The pairs of ends of a tier, from its links (``links_of``)."""
    window = max(run.measured_s, 1e-9)
    by = links.groupby(["row", "column", "pair"], sort=False)
    cells = by.agg(
        links=("link", "size"), mean_use=("mean_use", "mean"), max_use=("max_use", "max"),
        full=("saturated_s", "max"), held=("held_flows", "sum"),
    ).reset_index()  # fmt: skip
    cells["full"] = (cells["full"] / window).clip(upper=1.0)
    kinds = kinds_of(tier)
    titles = [f"{kind}, by {by}" if by else kind
              for kind, by in zip(kinds, links.attrs["by"], strict=True)]  # fmt: skip
    rows, columns = natural(set(cells["row"])), natural(set(cells["column"]))
    return HeatMap(cells, rows, columns, titles[0], titles[1])


_SLOTS = """
    select start_s, max(slot_s) as slot_s, sum(mean_use) as mean_use, max(max_use) as max_use,
           sum(saturated_s) as full_s
    from summary_links where list_contains($links, link) group by start_s order by start_s
"""
_WIDTH = "select coalesce(max(slot_s), 0) as slot_s from summary_links"


def over_time(run: RunView, numbers: Iterable[int], of: int) -> tuple[pd.DataFrame, float]:
    """Use of links in each slot of [0, end): ``t_s``, ``mean`` of the ``of`` links, ``max`` of the
    busiest, ``full`` (mean share of the slot); and the slots' length in seconds.

    A slot in which they carried nothing has 0.

    Raises:
        ResultError: the run has no such table, or it is unreadable.
    """
    width = float(ask(run, _WIDTH)["slot_s"][0])
    if not width > 0.0:
        raise ResultError(
            "what links carried over time was not recorded: the run was made before rackplan wrote "
            "it"
        )
    found = ask(run, _SLOTS, links=tuple(sorted(int(number) for number in numbers)))
    _check(found, ("max_use",))
    starts = width * np.arange(max(1, int(np.ceil(run.end_s / width - 1e-9))))
    frame = pd.DataFrame({"t_s": starts, "mean": 0.0, "max": 0.0, "full": 0.0})
    at = np.rint(found["start_s"] / width).astype(int).to_numpy()
    inside = (at >= 0) & (at < len(starts))
    at = at[inside]
    found = found[inside]
    frame.loc[at, "mean"] = (found["mean_use"] / max(1, of)).clip(upper=1.0).to_numpy()
    frame.loc[at, "max"] = found["max_use"].to_numpy()
    share = found["full_s"] / found["slot_s"] / max(1, of)
    frame.loc[at, "full"] = share.clip(upper=1.0).to_numpy()
    return frame, width


# A transfer is spread evenly over its time: how it was paced is not recorded.
_UNDER_WAY = """
    select slot, sum(size_bytes * part / (end_s - start_s)) / $width as bytes_per_s,
           sum(part) / $width as under_way
    from (
        select slot, size_bytes, start_s, end_s,
               least(end_s, (slot + 1) * $width) - greatest(start_s, slot * $width) as part
        from (
            select size_bytes, start_s, end_s,
                   unnest(range(floor(start_s / $width)::bigint,
                                floor(least(end_s, $end) / $width)::bigint + 1)) as slot
            from transfers where end_s > start_s and start_s < $end
        )
    )
    where part > 0 group by slot order by slot
"""


def under_way(run: RunView) -> tuple[pd.DataFrame, float]:
    """Transfers over time: ``t_s``, ``bytes_per_s``, ``under_way`` (mean number); length of a bin.

    Raises:
        ResultError: no transfer was recorded, or the table is unreadable.
    """
    if not run.rows("transfers"):
        raise ResultError("no transfer was recorded")
    width = fine_width(run.end_s) if run.end_s <= 7200.0 else 300.0
    found = ask(run, _UNDER_WAY, width=width, end=run.end_s)
    count = max(1, int(np.ceil(run.end_s / width)))
    frame = found.set_index("slot").reindex(np.arange(count)).fillna(0.0).reset_index(drop=True)
    frame.insert(0, "t_s", width * np.arange(count))
    return frame, width


_HELD = """
    select kind, count(*) as n, avg(end_s - start_s) as took_s, avg(alone_s) as alone_s,
           coalesce(sum(bound_s), 0) as bound_s
    from transfers where outcome = 'arrived' and end_s is not null and start_s is not null
    group by kind order by n desc
"""
_BOUND = """
    select bound, count(*) as n, coalesce(sum(bound_s), 0) as bound_s from transfers
    where kind = $kind and outcome = 'arrived' and bound is not null
    group by bound order by n desc, bound_s desc, bound limit 1
"""


@dataclass(frozen=True)
class Held:
    """What was moved, and what held it back: ``kind`` of transfers, how many arrived, means of
    their time and of what they would take alone, the link that bound most of them, how many."""

    kind: str
    n: int
    took_s: float
    alone_s: float
    bound: str
    bound_n: int


def held_up(run: RunView) -> list[Held]:
    """Transfers that arrived, by kind; most first.

    Raises:
        ResultError: the table is unreadable.
    """
    found = []
    for row in ask(run, _HELD).to_dict("records"):
        most = ask(run, _BOUND, kind=str(row["kind"])).to_dict("records")
        bound, n = (str(most[0]["bound"]), int(most[0]["n"])) if most else ("", 0)
        found.append(Held(str(row["kind"]), int(row["n"]), float(row["took_s"]),
                          float(row["alone_s"]), bound, n))  # fmt: skip
    return found


def _check(frame: pd.DataFrame, columns: tuple[str, ...]) -> None:
    for column in columns:
        values = frame[column].dropna().astype(float)
        if not ((values >= 0.0) & (values <= 1.0 + 1e-6)).all():
            raise ResultError(f"a link's {column} is no share of its capacity")
