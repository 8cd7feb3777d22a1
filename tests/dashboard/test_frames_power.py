"""Frames of the pages Floor and Power against brute force over the tables, and numbers by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dashboard.charts.power import diagram, state_of
from dashboard.frames import control, floor, power, site, tree
from dashboard.frames.bins import bin_width_s
from dashboard.listing import list_results
from dashboard.load import RunView, read_run
from dashboard.style import Ink
from sim.errors import ResultError
from tests.dashboard.conftest import damage


@pytest.fixture(scope="module")
def house(powered: Path) -> RunView:
    return read_run(list_results(powered), "house")


@pytest.fixture(scope="module")
def controlled(powered: Path) -> RunView:
    return read_run(list_results(powered), "controlled")


def table(run: RunView, name: str) -> pd.DataFrame:
    return run.result.tables[name].to_pandas()


def stepped(run: RunView, name: str, start_s: float, end_s: float) -> tuple[float, float]:
    """Mean and highest draw of a node over a stretch, row by row of the table ``power``."""
    nodes = table(run, "power_nodes").set_index("name")
    rows = table(run, "power")
    rows = rows[rows["node"] == nodes.loc[name, "node"]]
    column = "in_mw" if nodes.loc[name, "kind"] == "utility" else "out_mw"
    energy, highest, now, since = 0.0, 0.0, 0.0, start_s
    for t_s, draw_mw in zip(rows["t_s"], rows[column], strict=True):
        if t_s >= end_s:
            break
        if t_s > since:
            energy += now * (t_s - since)
            highest, since = max(highest, now), t_s
        now = draw_mw / 1000.0
    return (energy + now * (end_s - since)) / (end_s - start_s), max(highest, now)


def test_racks_stand_where_the_scenario_says(house: RunView) -> None:
    frame = site.racks(house).set_index("rack")
    assert list(frame.index) == ["a-rack-1", "a-rack-2", "b-rack-1", "w-rack-1"]
    assert list(frame["hall"]) == ["dry", "dry", "dry", "wet"]
    assert list(frame["row"]) == ["a", "a", "b", "w"]
    assert list(frame["place"]) == [1, 2, 1, 1]
    assert list(frame["line"]) == ["a", "a", "b", "w"]
    assert list(frame["gpus"]) == [32, 32, 32, 72]
    assert list(frame["liquid_share"]) == [0.0, 0.0, 0.0, 0.85]
    assert list(frame["air_limit_w"]) == [42e3, 42e3, 42e3, 30e3]
    assert frame["liquid_limit_w"].isna().tolist() == [True, True, True, False]
    assert list(frame["limit_w"]) == [41300.0, 41300.0, 41300.0, 132000.0]


def test_a_long_row_is_folded_evenly(powered: Path) -> None:
    frame = site.racks(read_run(list_results(powered), "long"))
    assert frame["line"].value_counts().to_dict() == {"r 1–15": 15, "r 16–30": 15, "r 31–45": 15}
    assert list(frame["column"]) == [*range(15)] * 3
    assert list(frame["place"]) == [*range(1, 46)]


def test_a_site_that_this_catalog_builds_otherwise_is_refused(runs: Path) -> None:
    damage(runs, lambda manifest: manifest["site"].update(gpus=31))
    run = read_run(list_results(runs), "complete")
    with pytest.raises(ResultError, match="had 31 GPUs, but its racks have 32"):
        site.site_of(run)


def test_racks_hold_what_the_replicas_say(house: RunView) -> None:
    has = floor.held(house).set_index("rack")
    replicas = table(house, "replicas")
    taken = dict.fromkeys(has.index, 0)
    busy = dict.fromkeys(has.index, 0.0)
    for row in replicas.itertuples():
        rack = row.node.rsplit("-node-", 1)[0]
        taken[rack] += len(row.gpus.split())
        busy[rack] += row.busy_s * len(row.gpus.split())
    assert has["taken"].to_dict() == taken
    assert sum(taken.values()) == 48
    for rack, gpus in has["gpus"].items():
        assert has.loc[rack, "idle"] == pytest.approx(1.0 - busy[rack] / (gpus * 35.0))
    assert has["tenants"].to_dict() == {
        "a-rack-1": ["blue"], "a-rack-2": ["blue"], "b-rack-1": [], "w-rack-1": ["red"]
    }  # fmt: skip
    # 24 of 32 GPUs of the second rack, 64 of 72 of the one with liquid.
    assert has.loc["a-rack-2", "stranded_w"] == pytest.approx(0.75 * 41300.0)
    assert has.loc["w-rack-1", "stranded_w"] == pytest.approx(64 / 72 * 132000.0)


@pytest.mark.parametrize("t_s", [0.0, 7.0, 15.0, 39.0])
def test_racks_draw_what_the_meter_says(house: RunView, t_s: float) -> None:
    now = floor.at_moment(house, t_s).set_index("rack")
    width = bin_width_s(house)
    for rack in now.index:
        mean_w, max_w = stepped(house, rack, t_s, min(t_s + width, house.end_s))
        assert now.loc[rack, "mean_w"] == pytest.approx(mean_w)
        assert now.loc[rack, "max_w"] == pytest.approx(max_w)
    assert now.loc["w-rack-1", "liquid_w"] == pytest.approx(0.85 * now.loc["w-rack-1", "mean_w"])
    heat = now["air_w"] + now["liquid_w"]
    assert heat.to_numpy() == pytest.approx(now["mean_w"].to_numpy())


def test_the_hottest_rack_is_the_one_nearest_to_its_limit(house: RunView) -> None:
    found = floor.hottest(house)
    assert found is not None
    peaks = {
        rack: stepped(house, rack, 0.0, house.end_s)[1] / limit
        for rack, limit in site.racks(house).set_index("rack")["limit_w"].items()
    }
    assert found.rack == max(peaks, key=lambda rack: peaks[rack])
    assert found.share == pytest.approx(max(peaks.values()))


def test_servers_and_replicas_of_a_rack(house: RunView) -> None:
    servers = floor.servers_of(house, "a-rack-2", 15.0)
    assert list(servers["name"]) == [f"a-rack-2-node-{number}" for number in range(1, 5)]
    for row in servers.itertuples():
        assert row.mean_w == pytest.approx(stepped(house, row.name, 15.0, 16.0)[0])
    mine = floor.replicas_of(house, "a-rack-2")
    assert list(mine["replica"]) == list(range(32, 40))
    assert floor.replicas_of(house, "b-rack-1").empty


def test_the_tree_has_each_node_once_below_its_first_feed(house: RunView) -> None:
    nodes = tree.tree(house)
    assert sorted(nodes["node"]) == list(range(len(table(house, "power_nodes"))))
    inner = nodes[nodes["kind"] != "server"]
    assert list(inner["name"])[:5] == ["utility", "ups-a", "a-pdu-a", "a-rack-1", "a-rack-2"]
    assert list(inner["depth"])[:5] == [0, 1, 2, 3, 3]
    row = inner.set_index("name").loc["a-rack-1"]
    assert row["feeds"] == ["a-pdu-a", "a-pdu-b"]


def test_a_circle_of_feeds_is_refused(house: RunView, monkeypatch: pytest.MonkeyPatch) -> None:
    circle = pd.DataFrame({"child": [1, 2], "parent": [2, 1], "share": [1.0, 1.0]})
    monkeypatch.setattr(tree, "edges", lambda run: circle)
    with pytest.raises(ResultError, match="in a circle"):
        tree.tree.__wrapped__(house)  # type: ignore[attr-defined]


def test_a_draw_is_judged_by_the_budget_in_force(house: RunView) -> None:
    frame = tree.loads(house)
    utility = frame[frame["node"] == 0].set_index("t_s")
    assert set(utility.loc[:24.0, "limit_w"]) == {300e3}
    assert set(utility.loc[25.0:, "limit_w"]) == {60e3}
    assert utility.loc[30.0, "share"] == pytest.approx(utility.loc[30.0, "max_w"] / 60e3)
    line = tree.series(house, "utility")
    assert line.limits.to_dict("list") == {"t_s": [0.0, 25.0], "limit_w": [300e3, 60e3]}
    assert (line.word, line.rating_w) == ("budget", 400e3)
    rack = tree.series(house, "a-rack-1")
    assert (rack.word, rack.rating_w) == ("rating", None)
    assert tree.first_moment(house) == utility["share"].idxmax()


def test_what_was_over_its_limit_is_counted_within_the_arrivals(house: RunView) -> None:
    (found,) = power.over(house)
    rows = table(house, "over_limit")
    assert len(rows) == 1
    assert rows["end_s"].iloc[0] == 50.0  # the drain, which no page shows
    assert (found.name, found.times, found.first_s, found.last_s) == ("utility", 1, 25.0, 40.0)
    assert found.seconds == found.longest_s == 15.0
    assert found.limit_w == 60e3
    assert found.peak_w == rows["peak_mw"].iloc[0] / 1000.0


def test_several_stretches_over_a_limit_are_summed(controlled: RunView) -> None:
    found = {one.name: one for one in power.over(controlled)}
    rows = table(controlled, "over_limit")
    names = table(controlled, "power_nodes").set_index("node")["name"]
    for node, mine in rows.groupby("node"):
        one = found[names[node]]
        length = mine["end_s"].clip(upper=60.0) - mine["start_s"]
        assert one.seconds == pytest.approx(length.sum())
        assert one.longest_s == pytest.approx(length.max())
        assert one.times == len(mine)
        assert one.peak_w == pytest.approx((mine["peak_mw"] / 1000.0).max())


@pytest.mark.parametrize("t_s", [5.0, 15.0, 30.0])
def test_feeds_carry_what_their_parents_deliver(house: RunView, t_s: float) -> None:
    wires = power.flows(house, t_s)
    now = tree.at_moment(house, t_s).set_index("node")["mean_w"]
    for parent, mine in wires.groupby("parent"):
        assert mine["w"].sum() == pytest.approx(now[parent], rel=0.001)
    names = table(house, "power_nodes").set_index("node")["name"]
    from_a = wires[wires["parent"].map(names) == "ups-a"]["w"]
    assert (from_a.sum() == 0.0) == (t_s == 15.0)


def test_the_ladder_says_what_failed_and_what_it_leaves_out(house: RunView, powered: Path) -> None:
    bars = power.ladder(house, 15.0, said=power.notes(house, 15.0)).frame.set_index("name")
    assert bars.loc["ups-a", "note"] == "failed"
    assert bars.loc["ups-a", "max_w"] == 0.0
    assert (bars["note"] != "").sum() == 1
    assert power.ladder(house, 15.0).more == (0, 0)
    assert list(bars.index)[:3] == ["utility", "ups-a", "a-pdu-a"]
    long = read_run(list_results(powered), "long")
    few = power.ladder(long, None, also="r-rack-45")
    racks = few.frame[few.frame["kind"] == "rack"]
    assert few.more == (0, 45 - len(racks))
    assert "r-rack-45" in set(racks["name"])
    shown = racks.loc[racks["name"] != "r-rack-45", "share"]
    assert few.fullest is not None
    assert few.fullest <= shown.min()


def test_a_peak_is_a_nodes_own(house: RunView) -> None:
    own = power.ladder(house, None).frame.set_index("name")
    everywhere = tree.loads(house).groupby("node")["share"].max()
    for row in own.itertuples():
        assert row.share == everywhere[row.node]


def test_lanes_hold_every_event_of_power(controlled: RunView, house: RunView) -> None:
    for run in (controlled, house):
        events = table(run, "events")
        of = {kind: lane for lane, kinds in control.LANES.items() for kind in kinds}
        wanted = events[events["kind"].isin(list(of)) & (events["t_s"] < run.end_s)]
        found = control.lanes(run)
        assert found["n"].sum() == len(wanted)
        counts = wanted["kind"].map(of).value_counts().to_dict()
        assert found.groupby("lane")["n"].sum().to_dict() == counts
    assert set(control.lanes(house)["lane"]) == {"facility"}


def test_actions_hold_decisions_and_what_they_led_to(controlled: RunView) -> None:
    found = control.actions(controlled)
    decisions = table(controlled, "decisions")
    decisions = decisions[decisions["role"] == "power"]
    assert (found["step"] == "decides").sum() == len(decisions)
    assert (found["accepted"] == False).sum() == (~decisions["accepted"]).sum()  # noqa: E712
    assert "brake-on" in set(found["step"])
    assert found["t_s"].is_monotonic_increasing
    clocks = control.clocks(controlled).set_index("pool")
    rows = table(controlled, "clocks").set_index("pool")
    for pool in ("batch", "chat"):
        whole = rows.loc[pool, "capped_s"] / (rows.loc[pool, "replicas"] * 55.0)
        assert clocks.loc[pool, "capped"] == pytest.approx(whole)


def test_a_share_has_a_state() -> None:
    shares = (0.0, 0.899, 0.9, 1.0, 1.001, float("nan"))
    assert [state_of(share) for share in shares] == [
        "good", "good", "near", "near", "bad", "none"
    ]  # fmt: skip


def test_a_diagram_escapes_what_names_hold() -> None:
    row: dict[str, Any] = {"node": 0, "mean_w": 1e3, "max_w": 1e3, "limit_w": 2e3, "share": 0.5}
    nodes = pd.DataFrame([row | {"name": 'a"];evil[label="\\', "note": ""},
                          row | {"node": 1, "name": "b", "limit_w": np.nan, "share": np.nan,
                                 "note": 'x"y'}])  # fmt: skip
    wires = pd.DataFrame({"parent": [0], "child": [1], "w": [500.0]})

    text = diagram(
        nodes, wires, [("b", 'a"];evil[label="\\')], "b", Ink("#0", "#0", "#0", "#0", "#0")
    )
    assert 'label="a\\"];evil[label=\\"\\\\\\n1.00 kW of 2.00 kW"' in text
    assert 'label="b\\nx\\"y"' in text
    assert 'n0 -> n1 [label="500 W"];' in text
    assert 'n1 -> n0 [label="standby", style=dashed];' in text
