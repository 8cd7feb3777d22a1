"""Every shipped scenario says its question, checks, and runs (shortened)."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sim
from sim.cli.summary_control import control_sentence
from sim.cli.summary_outages import outage_sentence
from sim.cli.summary_places import places_sentence
from sim.cli.summary_retries import retry_sentence
from sim.cli.summary_weights import weights_sentence
from sim.paths import share
from sim.results.explain import explain_replica, replica_named
from sim.spec.study import asks_question
from sim.study.points import load_study
from sim.study.sweep import run_study
from tests.unit.study.works import InProcess

ALL = sorted(share("scenarios").glob("*.yaml"))
PLACEMENTS = [file for file in ALL if "\nkind: placement\n" in file.read_text()]
FILES = [file for file in ALL if file not in PLACEMENTS]
EVERY_STUDY = sorted((share("scenarios") / "studies").glob("*.yaml"))
STUDIES = [file for file in EVERY_STUDY if not asks_question(file)]

#: What of a scenario is run here, unless it has ten thousand GPUs: then seconds say enough; or
#: tells a story: then all of it.
SHORT = ("duration=40 s", "warm_up=20 s")
SHORTER: dict[str, tuple[str, ...]] = {
    "day-10k-gpus": ("duration=6 s", "warm_up=2 s"),
    "ups-failure": (),
    "retry-storm": (),
    "weight-storm": (),
    "day-and-night": (),
    "defragment": (),
    "lost-feed": (),
    "demand-response": (*SHORT, "policies.power.at=30 s", "policies.power.lasts=5 s"),
}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_asks_a_question_and_runs(file: Path) -> None:
    first = file.read_text().splitlines()[0]
    assert first.startswith("# ")
    assert first.endswith("?")
    scenario = sim.load_scenario(file, sets=SHORTER.get(file.stem, SHORT))
    assert scenario.name == file.stem
    result = sim.run_scenario(scenario, engine="compiled")
    assert result.outcome == "complete"
    assert result.metrics["arrivals"].value > 0
    assert result.metrics["peak_draw_w"].value > 1000


@pytest.mark.parametrize("file", PLACEMENTS, ids=lambda file: file.stem)
def test_a_placement_asks_a_question_and_runs(file: Path) -> None:
    """Its ``better:`` lines are tested in tests/scenarios."""
    first = file.read_text().splitlines()[0]
    assert first.startswith("# ")
    assert first.endswith("?")
    scenario = sim.load_scenario(file)
    assert scenario.name == file.stem
    assert scenario.comparisons
    result = sim.run_scenario(scenario)
    assert result.metrics["placed"].value > 100
    assert all(line["passed"] for line in result.manifest["expectations"])


def test_the_lists_of_the_placement_are_what_their_generator_makes() -> None:
    made = runpy.run_path(str(share("scenarios").parent / "tools" / "placement_lists.py"))
    for name in ("nodes", "pods"):
        file = share("scenarios") / f"gpu-cluster-{name}.csv"
        assert file.read_text(encoding="utf-8") == made[name]()


def test_polca_keeps_the_row_and_low_priority_pays() -> None:
    over_s, e2e_s = [], []
    for kind in ("none", "polca"):
        sets = [f"policies.power={{kind: {kind}}}", "duration=8 min"]
        scenario = sim.load_scenario(share("scenarios") / "power-control.yaml", sets=sets)
        result = sim.run_scenario(scenario)
        metrics = result.metrics
        assert (control_sentence(result) == "") == (kind == "none")
        over_s.append(metrics["power[row-1-pdu-a].over_limit_s"].value)
        e2e_s.append([metrics[f"{pool}.e2e_p50"].value for pool in ("chat", "batch")])
    assert over_s[0] > 5.0
    assert over_s[1] < 0.1
    (chat, batch), (chat_capped, batch_capped) = e2e_s
    assert chat_capped == chat
    assert 1.02 < batch_capped / batch < 1.15
    assert metrics["brakes"].value == 0
    told = control_sentence(result)
    assert told.startswith("Power control: polca at 1 pdu: ")
    assert "no brake; below their highest clock: batch 100 % of the time (mean clock 8" in told
    assert metrics["pools[batch].capped_fraction"].value > 0.95
    assert metrics["pools[batch].mean_clock"].value < 0.9


@pytest.mark.parametrize(
    ("rating", "product", "fails"),
    [("145 kW", "galaxy-vxl", False), ("105 kW", "galaxy-vxl", False),
     ("105 kW", "riello-dlp", True), ("88 kW", "galaxy-vxl", True)],
)  # fmt: skip
def test_the_survivor_of_two_upss_is_what_its_sheet_says(
    rating: str, product: str, fails: bool
) -> None:
    sets = [f"power.ups[ups-{side}].rating={rating}" for side in "ab"]
    sets.append(f"power.ups[ups-b].product={product}")
    scenario = sim.load_scenario(share("scenarios") / "ups-failure.yaml", sets=sets)
    result = sim.run_scenario(scenario)
    assert (result.metrics["failed"].value > 0) == fails
    assert ("let the load go" in outage_sentence(result)) == fails
    assert "ups-a, utility failed" in outage_sentence(result)


def test_day_and_night_share_a_rack_and_explain_tells_how() -> None:
    result = sim.run_scenario(sim.load_scenario(share("scenarios") / "day-and-night.yaml"))
    told = places_sentence(result)
    assert told.startswith("Places: 9 replicas came; 1 replica was placed elsewhere; ")
    assert "waited for GPUs" in told
    story = explain_replica(result, replica_named(result, "chat-2"))
    starts = (
        "At 5 min it failed: ",
        "At 6 min topology-aware put it on GPUs ",
        "At 6 min it was placed anew, on ",
        "At 15 min it was taken away: ",
        "At 30 min it came: on ",
    )
    at = [next(n for n, line in enumerate(story) if line.startswith(start)) for start in starts]
    assert at == sorted(at)
    idle = explain_replica(result, replica_named(result, "batch-5"))
    assert idle[0] == "batch-5, one of 6 replicas of batch, has no GPUs at the end."
    assert any("has no place: it needs 4 GPUs" in line for line in idle)


@pytest.mark.parametrize("kv", ["moved", "lost"])
def test_a_wide_replica_has_its_place_once_a_small_one_has_moved(kv: str) -> None:
    sets = [f"events[2].defragment.kv={kv}"]
    result = sim.run_scenario(sim.load_scenario(share("scenarios") / "defragment.yaml", sets=sets))
    story = explain_replica(result, replica_named(result, "wide-1"))
    assert any("16 suitable GPUs are free" in line for line in story)
    assert any(line.startswith("At 8.35 min it came: on row-1-rack-1-node-3") for line in story)
    moved = explain_replica(result, replica_named(result, "small-1"))
    (told,) = [line for line in moved if " it had moved " in line]
    assert ("what it ran is computed anew" in told) == (kv == "lost")
    kinds = result.tables["transfers"]["kind"].to_pylist()
    assert kinds.count("migration") == (1 if kv == "moved" else 0)
    preempted = sum(result.tables["replicas"]["preemptions"].to_pylist())
    assert preempted == (5 if kv == "lost" else 0)
    assert "1 replica moved" in places_sentence(result)


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)
def test_a_study_asks_a_question_and_all_of_its_points_run(file: Path, tmp_path: Path) -> None:
    first = file.read_text().splitlines()[0]
    assert first.startswith("# ")
    assert first.endswith("?")
    study = load_study(file, sets=SHORT, seeds=1)
    assert study.name == file.stem
    result = run_study(study, InProcess(), out=tmp_path, engine="compiled")
    assert result.failed == 0
    assert len(result.points) == len(study.points) >= 3
    for point in result.points:
        assert all(metric.value is not None for metric in point.metrics.values())
        for chance in point.chances.values():
            assert chance.runs == 1 or "nothing can trip" in (chance.reason or "")


def test_oversubscription_shows_what_its_comments_say(tmp_path: Path) -> None:
    """No trip at first; then trips without control, and losses with it."""
    study = load_study(share("scenarios") / "studies" / "oversubscription.yaml", seeds=1)
    chosen = [point for point in study.points if point.labels[0] in (16, 20, 26)]
    result = run_study(replace(study, points=tuple(chosen)), InProcess(), out=tmp_path,
                       engine="compiled")  # fmt: skip
    found = {point.point.labels: point for point in result.points}
    trips = {labels: point.chances["trips > 0"].hits for labels, point in found.items()}
    assert trips == {
        (16, "none"): 0, (16, "polca"): 0, (20, "none"): 0, (20, "polca"): 0,
        (26, "none"): 1, (26, "polca"): 0,
    }  # fmt: skip

    def loss(servers: int, workload: str, name: str) -> float:
        value = found[servers, "polca"].losses[workload][name].mean
        assert value is not None
        return value

    assert loss(16, "batch", "e2e_p50_loss") == pytest.approx(0.0, abs=0.01)
    assert 0.02 < loss(20, "batch", "e2e_p50_loss") < 0.15
    assert loss(20, "batch", "e2e_p50_loss_worst") > loss(20, "batch", "e2e_p50_loss")
    assert loss(20, "chat", "e2e_p99_loss") == 0.0
    assert loss(26, "chat", "goodput_loss") > 0.5
    assert found[26, "none"].losses["chat"]["goodput_loss"].mean > 0.5


def test_there_are_four() -> None:
    assert len(FILES) >= 4
    assert [file.stem for file in PLACEMENTS] == ["gpu-cluster"]


def test_the_day_of_a_large_site_is_what_its_comments_say() -> None:
    scenario = sim.load_scenario(share("scenarios") / "day-10k-gpus.yaml")
    assert scenario.site.gpus == 10_000
    assert sum(pool.replicas * pool.tensor_parallel for pool in scenario.pools) == 10_000
    assert scenario.power.provisioned_w is not None
    nameplate_w = sum(node.max_w for node in scenario.site.node_types)
    assert 0.8 * nameplate_w < scenario.power.provisioned_w < nameplate_w
    for workload in scenario.workloads:
        assert workload.synthetic is not None
        multiples = [times for _, times in workload.synthetic.profile]
        assert len(multiples) == 24
        assert sum(multiples) / 24 == pytest.approx(1.0)


def test_clients_who_send_again_make_a_second_outage_of_one() -> None:
    """Attempts pile up, so that the minute after the restart is lost as well, but nobody is."""
    file = share("scenarios") / "retry-storm.yaml"
    results = {
        name: sim.run_scenario(sim.load_scenario(file, sets=sets))
        for name, sets in (("again", ()), ("never", ("workload[chat].retry=null",)))
    }
    good = {name: good_share(result, minute=3) for name, result in results.items()}
    assert good["never"] > 0.5
    assert good["again"] < 0.01
    again, never = results["again"].metrics, results["never"].metrics
    assert again["arrivals"].value == never["arrivals"].value  # users, not attempts
    assert (again["failed"].value, never["retries"].value) == (0, 0)
    assert never["failed"].value > 10_000
    assert busiest_second(results["again"]) > 4 * busiest_second(results["never"])
    assert retry_sentence(results["never"]) == ""
    told = retry_sentence(results["again"])
    assert told.startswith("Retries: requests were sent again ")
    assert f"{again['retries'].value:,.0f} times" in told


def test_a_brake_that_saves_a_feed_costs_requests_long_after() -> None:
    file = share("scenarios") / "lost-feed.yaml"
    results = {
        name: sim.run_scenario(sim.load_scenario(file, sets=sets)).metrics
        for name, sets in (("braked", ()), ("free", ("policies.power={kind: none}",)))
    }
    over = {
        name: metrics["power[row-1-pdu-a].over_limit_s"].value for name, metrics in results.items()
    }
    assert 3.0 < over["braked"] < 10.0 < 20.0 < over["free"]
    assert results["braked"]["brakes"].value >= 1
    good = {name: metrics["chat.goodput_fraction"].value for name, metrics in results.items()}
    assert good["free"] > 0.999
    assert 0.5 < good["braked"] < 0.75


def good_share(result: sim.RunResult, minute: int) -> float:
    """Share of the requests that arrived in a minute and met every objective."""
    rows = [r for r in result.tables["summary/counts"].to_pylist() if r["minute"] == minute]
    return sum(r["n"] for r in rows if r["cause"] == "met") / sum(r["n"] for r in rows)


def busiest_second(result: sim.RunResult) -> int:
    """Most attempts that reached the pool within a second after the measurement began."""
    requests = result.tables["requests"]
    last_s = np.add(*(requests.column(name).to_numpy() for name in ("arrival_s", "ingress_s")))
    before_s = result.tables["attempts"].column("sent_s").to_numpy()
    return int(np.bincount(np.concatenate([last_s, before_s]).astype(int)).max())


#: Of the weight storm: what one replica, and one of its eight GPUs, takes; rates in bytes/s.
REPLICA_BYTES, STORAGE, NIC = 410_118_258_688.0, 2 * 40e9, 50e9


@pytest.mark.parametrize(
    ("weights", "dark", "least_s", "most_s"),
    [
        ("from: storage", "row", 16 * REPLICA_BYTES / STORAGE, 16 * REPLICA_BYTES / STORAGE),
        ("from: storage", "site", 20 * REPLICA_BYTES / STORAGE, 20 * REPLICA_BYTES / STORAGE),
        # Each of the four that are loaded serves four others over each of its NICs.
        ("from: peers", "row", 4 * REPLICA_BYTES / 8 / NIC, 4 * REPLICA_BYTES / 8 / NIC),
        ("from: peers", "site", 20 * REPLICA_BYTES / STORAGE, 20 * REPLICA_BYTES / STORAGE),
        # 4 → 8 → 16 → 20, and 1 → 2 → 4 → 8 → 16 → 20 after the first.
        ("from: peers, multicast: true", "row", REPLICA_BYTES / 8 / NIC,
         3 * REPLICA_BYTES / 8 / NIC),
        ("from: peers, multicast: true", "site", REPLICA_BYTES / STORAGE,
         REPLICA_BYTES / STORAGE + 5 * REPLICA_BYTES / 8 / NIC),
    ],
)  # fmt: skip
def test_a_weight_storm_takes_what_the_links_say(
    weights: str, dark: str, least_s: float, most_s: float
) -> None:
    sets = [f"pools[chat].weights={{{weights}}}", "duration=4 min", "workload[chat].rate=2 /s"]
    if dark == "site":
        sets += ["events[0].fail=utility", "events[1].restore=utility"]
    scenario = sim.load_scenario(share("scenarios") / "weight-storm.yaml", sets=sets)
    result = sim.run_scenario(scenario)
    rows = result.tables["transfers"].to_pylist()
    assert len(rows) == (20 if dark == "site" else 16)
    assert {row["outcome"] for row in rows} == {"arrived"}
    assert {row["ready_s"] for row in rows} == {95.0 + 30.0}
    took_s = [row["end_s"] - row["ready_s"] for row in rows]
    # A path's latency is a few microseconds; nothing is faster than its links.
    assert least_s <= min(took_s) <= least_s + 1e-4
    assert most_s <= max(took_s) <= most_s + 1e-4
    assert all(row["bound_s"] <= max(took_s) for row in rows)
    told = weights_sentence(result)
    assert told.startswith(f"Weights: {len(rows)} loads, {'8.20' if dark == 'site' else '6.56'} TB")


def test_loading_from_each_other_pays_in_a_weight_storm() -> None:
    goodput = []
    for weights in ("from: storage", "from: peers", "from: peers, multicast: true"):
        sets = [f"pools[chat].weights={{{weights}}}"]
        scenario = sim.load_scenario(share("scenarios") / "weight-storm.yaml", sets=sets)
        metric = sim.run_scenario(scenario).metrics["chat.goodput_fraction"]
        assert metric.value is not None
        goodput.append(metric.value)
    storage, peers, multicast = goodput
    assert storage < 0.65
    assert peers > storage + 0.25
    assert multicast > peers


def ttft_p50_s(file: str, **sets: str) -> float:
    """Of the agents, in the first 40 s of a scenario."""
    changes = ["duration=40 s", "warm_up=15 s", *(f"{key}={value}" for key, value in sets.items())]
    scenario = sim.load_scenario(share("scenarios") / file, sets=changes)
    value = sim.run_scenario(scenario, engine="compiled").metrics["agents.ttft_p50"].value
    assert value is not None
    return value


def racks(*numbers: int) -> str:
    """Racks of row 1."""
    return f"[{', '.join(f'row-1-rack-{number}' for number in numbers)}]"


@pytest.mark.parametrize("seed", ["1", "2"])
def test_pools_behind_the_same_leaves_answer_first(seed: str) -> None:
    packed, spread, apart = (
        ttft_p50_s(
            "kv-placement.yaml",
            **{"seed": seed, "pools[prefill].racks": pre, "pools[decode].racks": decode},
        )
        for pre, decode in (
            (racks(1, 2), racks(3, 4)), (racks(1, 5), racks(3, 7)), (racks(1, 2), racks(5, 6)),
        )
    )  # fmt: skip
    assert packed < spread < apart
    assert apart > 2 * packed


@pytest.mark.parametrize("seed", ["1", "2"])
def test_a_noisy_neighbour_is_quiet_with_a_limit_or_behind_its_own_leaves(seed: str) -> None:
    nobody, noisy, limited, own = (
        ttft_p50_s("noisy-neighbour.yaml", seed=seed, **sets)
        for sets in (
            {"neighbours": "[]"},
            {},
            {"neighbours[training].limit": "10 Gb/s"},
            {"pools[decode].racks": racks(3, 4), "neighbours[training].racks": racks(5, 6, 7, 8)},
        )
    )
    assert noisy > 1.7 * nobody
    assert limited < 1.25 * nobody
    assert own < nobody
