"""Names of metrics: every one resolves in its scope, and a wrong one leads to the right one."""

from __future__ import annotations

import pytest

from sim.errors import UnknownName
from sim.results.freeze import freeze
from sim.results.memory import MemorySink
from sim.results.metrics import DEFINITIONS, Metric, UnknownMetric, full_name, lookup, names
from sim.units import UNITS
from tests.unit.results.by_hand import fill, parts, summariser

KNOWN = {"workloads": ["chat", "code.v2"], "pools": ["chat"], "power_nodes": ["utility", "ups-a"]}


def test_every_metric_is_found_under_its_full_name() -> None:
    owner = {"workload": "chat", "pool": "chat", "power": "ups-a", "site": ""}
    for (scope, name), definition in DEFINITIONS.items():
        assert lookup(full_name(scope, owner[scope], name), **KNOWN) is definition
        assert definition.unit == "" or definition.unit in UNITS[definition.dimension]
        assert definition.better in ("higher", "lower", "")
        assert len(definition.definition) > 20


def test_a_workload_name_may_hold_a_dot() -> None:
    assert lookup("code.v2.ttft_p99", **KNOWN).name == "ttft_p99"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ttft_p99", "'ttft_p99' is a metric of a workload: write 'chat.ttft_p99'"),
        ("chat.ttft_p9", "unknown metric 'chat.ttft_p9' (did you mean 'chat.ttft_p99'?)"),
        ("chatt.ttft_p99", "unknown workload 'chatt' (did you mean 'chat'?)"),
        (
            "pools[chat].peak_w",
            "'peak_w' is a metric of a power node: write 'power[utility].peak_w'",
        ),
        ("power[ups-b].peak_w", "unknown power node 'ups-b' (did you mean 'ups-a'?)"),
        (
            "chat.over_budget_s",
            "'over_budget_s' is a metric of the site: write 'over_budget_s'",
        ),
        ("over_budget", "unknown metric 'over_budget' (did you mean 'over_budget_s'?)"),
        (
            "chat.kv_utilisation",
            "'kv_utilisation' is a metric of a pool: write 'pools[chat].kv_utilisation'",
        ),
        (
            "power.ups-a.peak_w",
            "unknown metric 'power.ups-a.peak_w' (did you mean 'power[ups-a].peak_w'?)",
        ),
        ("pool[chat].energy_j", "unknown scope 'pool' (did you mean 'pools'?)"),
        ("chat.overbudget", "unknown metric 'chat.overbudget' (did you mean 'over_budget_s'?)"),
    ],
)
def test_a_wrong_name_leads_to_the_right_one(name: str, message: str) -> None:
    with pytest.raises(UnknownName) as caught:
        lookup(name, **KNOWN)
    assert str(caught.value) == message


def test_what_resembles_nothing_lists_what_there_is() -> None:
    with pytest.raises(UnknownMetric) as caught:
        lookup("power[ups-a].qqq", **KNOWN)
    assert str(caught.value) == (
        "unknown metric 'power[ups-a].qqq'; metrics of a power node: "
        "peak_w, mean_w, energy_j, over_limit_s, headroom_w, brakes, brake_s, clock_commands"
    )


def test_a_workload_is_named_without_brackets() -> None:
    with pytest.raises(UnknownMetric) as caught:
        lookup("workload[chat].ttft_p99", **KNOWN)
    assert str(caught.value) == (
        "unknown metric 'workload[chat].ttft_p99' (did you mean 'chat.ttft_p99'?)"
    )


def test_units_of_named_units_convert_to_si() -> None:
    assert DEFINITIONS["site", "goodput_per_mw"].factor == pytest.approx(1e-6)
    assert DEFINITIONS["site", "energy_cost_per_mtoken"].factor == pytest.approx(1e-6)
    assert DEFINITIONS["workload", "goodput_fraction"].factor == 1.0


def test_latencies_come_in_five_statistics() -> None:
    found = [name for name in names("workload") if name.startswith("ttft")]
    assert [name for name in found if name.count("_") == 1] == [
        "ttft_p50", "ttft_p90", "ttft_p95", "ttft_p99", "ttft_mean",
    ]  # fmt: skip


def events(*kinds: str) -> dict[str, list[object]]:
    return {
        "t_s": [float(at) for at in range(len(kinds))], "kind": list(kinds),
        "entity": ["ups-a"] * len(kinds), "detail": [""] * len(kinds),
    }  # fmt: skip


def trips_of(guards: int | None, *kinds: str) -> Metric:
    sink = summariser(MemorySink())
    fill(sink, events=events(*kinds))
    power = {"stated": True, "provisioned_w": 100e3}
    return freeze(
        sink, parts(power=power if guards is None else {**power, "guards": guards})
    ).metrics["trips"]


def test_trips_are_what_takes_power_away_by_itself() -> None:
    every = ("fails", "trips", "to-bypass", "drops-load", "on-battery", "battery-empty", "trips",
             "loses-power", "replica-fails", "is restored")  # fmt: skip
    assert trips_of(3, *every).value == 4
    assert trips_of(3, "fails", "to-bypass", "on-battery").value == 0


def test_where_nothing_can_trip_there_is_no_number_of_trips() -> None:
    found = trips_of(0, "fails")
    assert found.value is None
    assert found.reason == "no breaker, UPS product or battery is stated, so nothing can trip"
    assert trips_of(None).value is None
