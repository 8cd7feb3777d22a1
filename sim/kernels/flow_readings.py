"""What meters of flows say, as Python sees it: links over a window, and flows that are complete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.kernels.flow_meter_state import USES, Meters

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

#: Most that a quantile of utilisation may be wrong by: half a bin of a per cent.
USE_ERROR = 0.005
_EDGES = USES - 2


class Completion(NamedTuple):
    """A flow that is complete, and what held it back.

    Attributes:
        alone_bytes_per_s: the least capacity of its links and its cap when it was complete: its
            rate if nobody shared them; infinite for a flow that takes no time.
        bottleneck: the link that set its rate for the longest time; of several that were full at
            once, the one that the solver came to first; −1: its own cap, or nothing did.
        bottleneck_s: for how long.
        flows_shared: the most flows, itself included, that were on it when it set this flow's
            rate, or the cap's one.
    """

    flow: int
    finish_s: float
    start_s: float
    size_bytes: float
    alone_bytes_per_s: float
    bottleneck: int
    bottleneck_s: float
    flows_shared: int

    @property
    def mean_bytes_per_s(self) -> float:
        """Its size over its time; infinite for a flow that took none."""
        took_s = self.finish_s - self.start_s
        return self.size_bytes / took_s if took_s > 0.0 else float("inf")


class SlotMeters(NamedTuple):
    """What links did in a slot of time. K links carried something in it; the others did nothing.

    Attributes:
        link: [K] their numbers, ascending.
        use_s: [K] utilisation (what is carried over capacity; 0 while down) over time.
        peak_use: [K] highest utilisation.
        full_s: [K] seconds in which it was full, as ``LinkMeters.saturated_s``.
    """

    link: Ints
    use_s: Floats
    peak_use: Floats
    full_s: Floats


@dataclass(frozen=True)
class LinkMeters:
    """What links did over a window. K links carried a flow or were down; the others did nothing.

    Attributes:
        window_s: its length.
        links: of the network, idle ones included.
        link: [K] their numbers, ascending.
        bytes: [K] bytes carried.
        could_bytes: [K] capacity over time: what it could have carried, nothing while down.
        use_s: [K, 102] seconds by utilisation (what is carried over capacity): 0, above 0 to below
            100 % in steps of 1 %, all. Together with ``down_s`` they are the window.
        down_s: [K] seconds with capacity 0.
        peak_use: [K] highest utilisation, exact.
        peak_bytes_per_s: [K] highest rate.
        waiting_flow_s: [K] integral of the number of flows whose bottleneck it was. A flow has one
            bottleneck at a time, so the sum over links (and caps) is the flows in flight over time.
        most_waiting: [K] the highest of those numbers.
        flows: [K] flows that were on it.
        held_flows: [K] flows that ended whose bottleneck it was for longer than any other.
    """

    window_s: float
    links: int
    link: Ints
    bytes: Floats
    could_bytes: Floats
    use_s: Floats
    down_s: Floats
    peak_use: Floats
    peak_bytes_per_s: Floats
    waiting_flow_s: Floats
    most_waiting: Ints
    flows: Ints
    held_flows: Ints

    @property
    def saturated_s(self) -> Floats:
        """[K] seconds in which it was full (to 1e-9), and so the bottleneck of its fastest flow."""
        return self.use_s[:, -1]

    @property
    def mean_use(self) -> Floats:
        """[K] bytes over what could have been carried; NaN if it was down all the time."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.bytes / self.could_bytes)

    def quantile(self, share: float) -> Floats:
        """[K] utilisation that is not exceeded for ``share`` of the time in which it was up.

        Right to ``USE_ERROR``, and exact where it is 0 or 1; NaN if it was down all the time.
        """
        so_far = np.cumsum(self.use_s, axis=1)
        up_s = so_far[:, -1:]
        reached = (so_far >= share * up_s * (1.0 - 1e-12)) & (so_far > 0.0)
        part = np.argmax(reached, axis=1)
        middles = np.concatenate([[0.0], (np.arange(_EDGES) + 0.5) / _EDGES, [1.0]])
        found = np.minimum(middles[part], self.peak_use)
        return np.where(up_s[:, 0] > 0.0, found, np.nan)


def read(meters: Meters, window_s: float) -> LinkMeters:
    """Copies of the meters, which are counted up to the end of a window of this length."""
    links = meters.link
    link = np.flatnonzero((links["flows"] > 0) | (links["down_s"] > 0.0))

    def floats(name: str) -> Floats:
        values: Floats = links[name][link]
        return values

    def integers(name: str) -> Ints:
        values: NDArray[np.int64] = links[name][link].astype(np.int64)
        return values

    return LinkMeters(
        window_s=window_s,
        links=len(links),
        link=link,
        bytes=floats("bytes"),
        could_bytes=floats("could_bytes"),
        use_s=meters.use_s.reshape(-1, USES)[link],
        down_s=floats("down_s"),
        peak_use=floats("peak_use"),
        peak_bytes_per_s=floats("peak_bytes_per_s"),
        waiting_flow_s=floats("waiting_s"),
        most_waiting=integers("most_waiting"),
        flows=integers("flows"),
        held_flows=integers("held"),
    )


def take_slot(links: NDArray[np.void]) -> SlotMeters:
    """Copies of the slot's meters ([L] of ``LINK_METER``), which are set to 0."""
    link = np.flatnonzero(links["slot_peak"] > 0.0)
    columns = [links[name][link] for name in ("slot_use_s", "slot_peak", "slot_full_s")]
    for name in ("slot_use_s", "slot_peak", "slot_full_s"):
        links[name][link] = 0.0
    return SlotMeters(link, *columns)
