"""The state of the flow solver: record arrays behind one pointer, and Python's room for them.

A flow in flight has a *slot*; its path is ``hop[slot << shift + h]``. A link knows its flows by a
block of ``member``: numbers of hops, so that a flow leaves it in constant time. Blocks double and
are never given back. A flow with a rate cap has a last hop on a link of its own, number
``links + slot``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.kernels.bundle import BundleType, array_of, opener, table_of
from sim.kernels.flow_meter_state import METERS, NO_METERS

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_MOST = int(np.iinfo(np.int32).max)
#: No link, no slot.
NONE = -1
#: States of a flow while rates are being found. Outside a solve every flow is clean.
CLEAN, RISING, FIXED = 0, 1, 2
#: Marks of a link while rates are being found.
STALE, DIRTY, CLOSED, LOWERED, SEEN = 1, 2, 4, 8, 16

#: One record: counters of the arrays below.
ALL = np.dtype(
    [
        ("now_s", np.float64),  # of the last change
        ("serial", np.int64),  # flows that ever were
        ("links", np.int64),  # links of the network, without those of rate caps
        ("shift", np.int64),  # log2 of the most hops of a path
        ("slots", np.int64),  # slots that were ever taken
        ("free", np.int64),  # of them free again
        ("heap", np.int64),
        ("queue", np.int64),
        ("touched", np.int64),
        ("dirty", np.int64),
        ("closed", np.int64),
        ("seen", np.int64),
        ("freed", np.int64),  # 1: something other than an arrival waits for the next solve
        ("lowered", np.int64),  # 1: so is the capacity of a link that is dirty
        ("pool", np.int64),  # members that belong to a block
        ("done", np.int64),
        ("metered", np.int64),  # 1: links and flows have meters
    ],
    align=True,
)

LINK = np.dtype(
    [
        ("capacity", np.float64),  # bytes/s
        ("base", np.float64),  # sum of the rates of flows that do not rise, but for rounding
        ("level", np.float64),  # rate at which it is full, where it bounds a flow
        ("fill", np.float64),  # level at which it fills, unless it is stale
        ("start", np.int32),  # of its block of members
        ("room", np.int32),
        ("count", np.int32),  # flows on it
        ("rising", np.int32),
        ("bound", np.int32),  # clean flows whose bottleneck it is
        ("place", np.int32),  # in the queue; 0: not there
        ("mark", np.int32),
        ("pad", np.int32),
    ],
    align=True,
)

FLOW = np.dtype(
    [
        ("rate", np.float64),  # bytes/s, since last_s
        ("now", np.float64),  # the rate that a solve gives it; 0 while it rises
        ("left_bytes", np.float64),  # at last_s
        ("last_s", np.float64),
        ("finish_s", np.float64),
        ("id", np.int64),
        ("state", np.int32),
        ("bound", np.int32),  # its bottleneck
        ("place", np.int32),  # in the heap, from 1
        ("hops", np.int32),
    ],
    align=True,
)

HOP = np.dtype([("link", np.int32), ("place", np.int32)], align=True)
DUE = np.dtype([("t_s", np.float64), ("slot", np.int64)], align=True)
KEYED = np.dtype([("key", np.float64), ("link", np.int64)], align=True)
DONE = np.dtype([("id", np.int64), ("finish_s", np.float64)], align=True)


class Flows(NamedTuple):
    """All that the solver reads and writes. S slots, L links and, where flows have caps, L + S."""

    all: NDArray[np.void]  # [1] ALL
    link: NDArray[np.void]  # [L] LINK
    flow: NDArray[np.void]  # [S] FLOW
    hop: NDArray[np.void]  # [S << shift] HOP
    member: NDArray[np.int32]
    heap: NDArray[np.void]  # [S + 1] DUE, from 1: the next completion first
    queue: NDArray[np.void]  # [L + 1] KEYED, from 1: the link with the lowest key first
    touched: NDArray[np.int32]  # [S] flows that are not clean
    dirty: NDArray[np.int32]  # [L] links to look at in the next solve
    closed: NDArray[np.int32]  # [L] links that filled in this solve
    seen: NDArray[np.int32]  # [L] links to queue after a release
    free: NDArray[np.int32]  # [S]
    path: Ints  # [1 << shift] the links of a flow to add
    done: NDArray[np.void]  # [S] DONE
    meters: Ints  # the table of METERS, of empty arrays if there are none


FLOWS = BundleType(
    "flows",
    (
        ("all", array_of(ALL)),
        ("link", array_of(LINK)),
        ("flow", array_of(FLOW)),
        ("hop", array_of(HOP)),
        ("member", array_of(np.int32)),
        ("heap", array_of(DUE)),
        ("queue", array_of(KEYED)),
        ("touched", array_of(np.int32)),
        ("dirty", array_of(np.int32)),
        ("closed", array_of(np.int32)),
        ("seen", array_of(np.int32)),
        ("free", array_of(np.int32)),
        ("path", array_of(np.int64)),
        ("done", array_of(DONE)),
        ("meters", METERS),
    ),
)

#: From the table that Python passes to the bundle.
flows_of = opener(FLOWS)


def table_of_flows(flows: Flows) -> Ints:
    """The table that kernels take; the arrays must live as long as it."""
    return table_of(FLOWS, flows._asdict())


def new_flows(capacity: Floats, slots: int, hops: int, members: int, capped: bool) -> Flows:
    """An empty network, without meters.

    Args:
        capacity: [L] bytes/s.
        slots: flows in flight at once.
        hops: most links of a path, without the one of a cap.
        members: room for flows on links, of all links together.
        capped: whether flows may have caps.

    Raises:
        ValueError: more hops of flows than a 32-bit number can tell apart.
    """
    links = len(capacity) + (slots if capped else 0)
    shift = max(hops - 1 + capped, 0).bit_length()
    if slots << shift > _MOST or members > _MOST:
        raise ValueError(
            f"{slots} flows with {hops} hops or less are too many: at most {_MOST >> shift}"
        )
    flows = Flows(
        all=np.zeros(1, ALL),
        link=np.zeros(links, LINK),
        flow=np.zeros(slots, FLOW),
        hop=np.zeros(slots << shift, HOP),
        member=np.zeros(members, np.int32),
        heap=np.zeros(slots + 1, DUE),
        queue=np.zeros(links + 1, KEYED),
        touched=np.zeros(slots, np.int32),
        dirty=np.zeros(links, np.int32),
        closed=np.zeros(links, np.int32),
        seen=np.zeros(links, np.int32),
        free=np.zeros(slots, np.int32),
        path=np.zeros(1 << shift, np.int64),
        done=np.zeros(slots, DONE),
        meters=NO_METERS,
    )
    flows.link["capacity"][: len(capacity)] = capacity
    flows.all["now_s"] = -np.inf
    flows.all["links"] = len(capacity)
    flows.all["shift"] = shift
    return flows


def with_room(old: Flows, slots: int, hops: int, members: int) -> Flows:
    """The same network, whose flows may have caps, with more room; no solve is under way.

    Its meters, if it has some, are not in it yet.

    Sizes mean what they mean in ``new_flows``, and are at least those of ``old``.
    """
    links = int(old.all["links"][0])
    flows = new_flows(old.link["capacity"][:links], slots, hops, members, capped=True)
    shift, before = int(flows.all["shift"][0]), int(old.all["shift"][0])
    for name in ("link", "flow", "heap", "touched", "dirty", "free", "done"):
        array = getattr(old, name)
        getattr(flows, name)[: len(array)] = array
    flows.hop.reshape(-1, 1 << shift)[: len(old.flow), : 1 << before] = old.hop.reshape(
        -1, 1 << before
    )
    hop = old.member.astype(np.int64)
    flows.member[: len(hop)] = (hop >> before << shift) + (hop & ((1 << before) - 1))
    flows.path[: len(old.path)] = old.path
    flows.all[:] = old.all
    flows.all["shift"] = shift
    return flows
