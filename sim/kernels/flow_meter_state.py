"""The state of the flow solver's meters: record arrays, and Python's room for them.

It is a bundle of its own inside that of the flows, so that those without meters pay nothing for it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.kernels.bundle import BundleType, array_of, table_of

#: Bins of how much of a link is in use: nothing, each per cent below all of it, all of it.
USES = 102
#: What a link did since its meter was set to 0. A rate is the sum of two floats, ``sum_of_rates``.
LINK_METER = np.dtype(
    [
        ("last_s", np.float64),  # until when all is counted
        ("carried", np.float64),  # bytes/s since then
        ("carried_low", np.float64),
        ("bytes", np.float64),
        ("could_bytes", np.float64),  # its capacity over time
        ("down_s", np.float64),
        ("peak_use", np.float64),  # highest share of its capacity
        ("peak_bytes_per_s", np.float64),
        ("waiting_s", np.float64),  # flow·s: flows whose bottleneck it is, over time
        ("flows", np.int64),  # that were on it
        ("held", np.int64),  # of those that ended: whose bottleneck it was for longest
        ("waiting", np.int32),  # flows whose bottleneck it is
        ("most_waiting", np.int32),
        ("slot_use_s", np.float64),  # share of its capacity over time, since a slot began
        ("slot_full_s", np.float64),
        ("slot_peak", np.float64),  # highest share of its capacity
    ],
    align=True,
)
FLOW_METER = np.dtype(
    [
        ("start_s", np.float64),
        ("size_bytes", np.float64),
        ("left_bytes", np.float64),  # all before is counted at its links
        ("last_s", np.float64),  # the same as a time
        ("since_s", np.float64),  # it has its bottleneck
        ("bound", np.int32),  # its bottleneck as counted; NONE: it has none yet
        ("place", np.int32),  # the hop of that
        ("shared_s", np.float64),  # since when this many flows are on it
        ("sharing", np.int64),
    ],
    align=True,
)
#: For how long a hop was its flow's bottleneck, and the most flows that were on it then.
HOP_METER = np.dtype([("bound_s", np.float64), ("most", np.int64)], align=True)
STORY = np.dtype(
    [
        ("id", np.int64),
        ("finish_s", np.float64),
        ("start_s", np.float64),
        ("size_bytes", np.float64),
        ("alone_bytes_per_s", np.float64),
        ("bottleneck", np.int64),
        ("bottleneck_s", np.float64),
        ("flows_shared", np.int64),
    ],
    align=True,
)


class Meters(NamedTuple):
    """All that meters write. L links, S slots of flows, 1 << shift hops each."""

    link: NDArray[np.void]  # [L] LINK_METER
    use_s: NDArray[np.float64]  # [L · USES] time by link and by how much of it is in use
    flow: NDArray[np.void]  # [S] FLOW_METER
    hop: NDArray[np.void]  # [S << shift] HOP_METER
    story: NDArray[np.void]  # [S] STORY, as ``done`` of the flows


METERS = BundleType(
    "meters",
    (
        ("link", array_of(LINK_METER)),
        ("use_s", array_of(np.float64)),
        ("flow", array_of(FLOW_METER)),
        ("hop", array_of(HOP_METER)),
        ("story", array_of(STORY)),
    ),
)


def new_meters(links: int, slots: int, shift: int) -> Meters:
    """Meters of an empty network. Memory of links that are never used is never touched."""
    return Meters(
        link=np.zeros(links, LINK_METER),
        use_s=np.zeros(links * USES),
        flow=np.zeros(slots, FLOW_METER),
        hop=np.zeros(slots << shift, HOP_METER),
        story=np.zeros(slots, STORY),
    )


def meters_with_room(old: Meters, slots: int, shift: int) -> Meters:
    """The same meters for at least as many flows with at least as many hops."""
    meters = new_meters(0, slots, shift)._replace(link=old.link, use_s=old.use_s)
    count = len(old.flow)
    meters.flow[:count] = old.flow
    meters.story[:count] = old.story
    narrow = old.hop.reshape(count, -1)
    meters.hop.reshape(slots, -1)[:count, : narrow.shape[1]] = narrow
    return meters


def table_of_meters(meters: Meters) -> NDArray[np.int64]:
    """The table that is the field of the flows; the arrays must live as long as it."""
    return table_of(METERS, meters._asdict())


_EMPTY = new_meters(0, 0, 0)
#: The table of a network without meters.
NO_METERS = table_of_meters(_EMPTY)
