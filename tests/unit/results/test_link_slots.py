"""The table of links over time: lengths of slots, and slots against the totals of a run."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sim.engine.environment import OrderedEnvironment
from sim.engine.network import Network
from sim.kernels.flow_readings import SlotMeters
from sim.policies.base import policies
from sim.results.link_slots import MOST_ROWS, MOST_SLOTS, LinkSlots, slot_width_s
from sim.results.schema import to_batch
from tests.unit.site.fabrics import built, plan_of, site_of


@pytest.mark.parametrize(
    ("duration_s", "links", "width_s"),
    [
        (180.0, 1000, 1.0),
        (301.0, 1000, 2.0),
        (3600.0, 1000, 15.0),
        (86_400.0, 1000, 300.0),
        (86_400.0, 100_000, 3600.0),
        (30 * 86_400.0, 1000, 10_800.0),
        (1000 * 86_400.0, 10, 4 * 86_400.0),
        (1.0, 10**9, 1.0),
    ],
)
def test_slots_are_as_short_as_the_table_allows(
    duration_s: float, links: int, width_s: float
) -> None:
    assert slot_width_s(duration_s, links) == width_s
    slots = math.ceil(duration_s / width_s)
    assert slots <= MOST_SLOTS
    assert slots == 1 or slots * links <= MOST_ROWS


def slot(*link: int) -> SlotMeters:
    count = len(link)
    return SlotMeters(
        np.array(link), np.full(count, 1.0), np.full(count, 0.75), np.full(count, 0.5)
    )


def test_slots_end_with_the_arrivals_and_empty_ones_have_no_row() -> None:
    slots = LinkSlots(301.0, 4)
    assert (slots.start_s, slots.end_s) == (0.0, 2.0)
    slots.add(slot(1, 3), 2.0)
    slots.add(slot(), 4.0)
    for until_s in np.arange(6.0, 301.0, 2.0):
        slots.add(slot(), float(until_s))
    assert (slots.start_s, slots.end_s) == (300.0, 301.0)  # the last one is shorter
    slots.add(slot(2), 301.0)
    assert slots.end_s == math.inf
    rows = to_batch("summary/links", slots.columns()).to_pylist()
    assert [(row["link"], row["start_s"], row["slot_s"], row["mean_use"]) for row in rows] == [
        (1, 0.0, 2.0, 0.5), (3, 0.0, 2.0, 0.5), (2, 300.0, 1.0, 1.0),
    ]  # fmt: skip


def test_slots_add_up_to_the_bytes_of_the_window_and_a_stopped_run_ends_in_one() -> None:
    fabric = built(site_of(2), plan_of("rail-optimised", nic=1e10))
    env = OrderedEnvironment()
    network = Network(fabric, policies("paths")["ecmp"](), 1, env, duration_s=30.0)
    network.open_window(0.0)

    def lost(error: Exception, time_s: float) -> None:
        raise AssertionError(error)

    rng = np.random.default_rng(1)
    for start_s in np.cumsum(rng.exponential(0.7, 25)):
        network.settle()
        while env.peek() < start_s:
            env.step()
            network.settle()
        source, target = rng.permutation(8)[0], 8 + rng.permutation(8)[0]
        network.send(int(source), int(target), float(rng.uniform(1e9, 9e9)), float(start_s),
                     lambda _: None, lost)  # fmt: skip
        last_s = float(start_s)
    network.settle()
    stopped_s = last_s + 0.25
    assert stopped_s < 30.0
    network.close_window(stopped_s)
    tables = network.tables(stopped_s)
    links, slots = tables["links"], tables["summary/links"]
    assert slots["start_s"].max() == math.floor(stopped_s)
    assert set(np.round(slots["slot_s"], 9)) == {1.0, round(stopped_s % 1.0, 9)}
    for k, link in enumerate(links["link"]):
        mine = slots["link"] == link
        carried = (slots["mean_use"] * slots["slot_s"])[mine].sum()
        assert carried * links["capacity_bytes_per_s"][k] == pytest.approx(
            links["bytes"][k], rel=1e-9
        )
        assert slots["max_use"][mine].max() == links["max_use"][k]
        assert slots["saturated_s"][mine].sum() == pytest.approx(links["saturated_s"][k], abs=1e-9)
