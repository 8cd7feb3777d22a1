"""The parts of a TTFT over two pools, and what is said to limit them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from sim.cli.summary import print_summary
from sim.engine.api import load_scenario, run_scenario
from sim.results.limit import Limit
from sim.results.result import RunResult
from sim.results.ttft_parts import PARTS, parts_of
from sim.results.verdict import verdict

SCENARIO = """\
rackplan: 1
name: apart
duration: 60 s
warm_up: 10 s
site: {halls: [{name: hall, rows: [{name: row, racks: [{type: dgx-h100-4, count: 1}]}]}]}
fabric: {kind: single-switch, nic: 100 Gb/s}
llms: [{name: llama-3.1-8b, precision: bf16}]
pools:
  - {name: pre, llm: llama-3.1-8b, tensor_parallel: 1, replicas: 8, decode: dec}
  - {name: dec, llm: llama-3.1-8b, tensor_parallel: 1, replicas: 8}
  - {name: both, llm: llama-3.1-8b, tensor_parallel: 1, replicas: 1}
workload:
  - {name: chat, pool: pre, source: {input_tokens: 2000, output_tokens: 50}, rate: 40 /s,
     slo: {ttft: 500 ms, tpot: 50 ms}}
  - {name: other, pool: both, source: {input_tokens: 500, output_tokens: 10}, rate: 1 /s}
"""


def result(folder: Path, *sets: str) -> RunResult:
    file = folder / "s.yaml"
    file.write_text(SCENARIO)
    return run_scenario(load_scenario(file, sets=sets))


def columns(table: Any, *names: str) -> list[np.ndarray[Any, Any]]:
    return [table.column(name).to_numpy(zero_copy_only=False) for name in names]


def test_the_parts_of_each_request_add_up_and_are_what_the_tables_say(tmp_path: Path) -> None:
    run = result(tmp_path)
    chat = [row for row in run.tables["requests"].to_pylist() if row["workload"] == "chat"]
    moves = {row["request_id"]: row for row in run.tables["transfers"].to_pylist()}
    rows = [r for r in chat if 10.0 <= r["arrival_s"] < 60.0 and r["first_token_s"] is not None]
    assert len(rows) > 1500
    expected = []
    for row in rows:
        move = moves[row["request_id"]]
        points = [
            row["arrival_s"],
            row["arrival_s"] + row["ingress_s"],
            row["admitted_s"],
            move["ready_s"],
            move["room_s"],
            move["end_s"],
            row["first_token_s"],
            row["first_token_s"],
        ]
        expected.append(np.diff(points))
    found = parts_of(run)
    assert set(found) == {"chat"}
    assert np.sort(found["chat"].ttft_s) == pytest.approx(np.sort(np.sum(expected, axis=1)))
    for place, part in enumerate(PARTS):
        values = [parts[place] for parts in expected]
        for statistic, value in (("mean", np.mean(values)), ("p99", np.quantile(values, 0.99))):
            assert run.metrics[f"chat.ttft_{part}_{statistic}"].value == pytest.approx(value)
    means = [run.metrics[f"chat.ttft_{part}_mean"].value or 0.0 for part in PARTS]
    assert sum(means) == pytest.approx(run.metrics["chat.ttft_mean"].value)
    # 2,000 tokens of 131,072 bytes over 12.5 GB/s.
    assert run.metrics["chat.ttft_transfer_p50"].value >= 2000 * 131_072 / 12.5e9  # type: ignore[operator]
    other = run.metrics["other.ttft_transfer_mean"]
    assert (other.value, other.reason) == (None, "no other pool decodes its requests")


def test_the_sum_from_admission_to_first_token_is_that_of_all_parts_behind_the_queue(
    tmp_path: Path,
) -> None:
    run = result(tmp_path)
    counts = run.tables["summary/counts"].to_pylist()
    mine = [row for row in counts if row["workload"] == "chat" and row["measured"]]
    total = sum(row["to_first_token_s"] for row in mine)
    assert total == pytest.approx(float(parts_of(run)["chat"].parts_s[:, 2:].sum()), rel=1e-9)


def test_a_sample_has_the_transfers_of_its_requests_and_a_summary_none(tmp_path: Path) -> None:
    whole = result(tmp_path)
    sampled = result(tmp_path, "record={level: sampled, every: 10}")
    requests, moves = (
        set(sampled.tables[table].column("request_id").to_pylist())
        for table in ("requests", "transfers")
    )
    assert moves < requests  # the others are of the other pool
    assert 0.05 < len(moves) / whole.tables["transfers"].num_rows < 0.2
    means = [run.metrics["chat.ttft_prefill_mean"].value for run in (whole, sampled)]
    assert means[0] == pytest.approx(means[1], rel=0.2)
    short = result(tmp_path, "record=summary")
    assert short.tables["transfers"].num_rows == 0
    metric = short.metrics["chat.ttft_room_p50"]
    assert metric.value is None
    assert "record: summary" in metric.reason


def printed(run: RunResult) -> str:
    out = io.StringIO()
    print_summary(run, Console(file=out, width=200))
    return out.getvalue()


def test_the_summary_has_a_line_of_parts(tmp_path: Path) -> None:
    text = printed(result(tmp_path))
    (line,) = [line for line in text.splitlines() if line.startswith("TTFT of ")]
    assert line.startswith("TTFT of chat: ")
    assert line.endswith(" (means; from pre to dec)")
    told, parts = line.removeprefix("TTFT of chat: ").split(" (")[0].split(" ms = ")
    numbers = [float(part.rsplit(" ", 1)[1]) for part in parts.split(" + ")]
    assert sum(numbers) == pytest.approx(float(told), rel=0.02)
    assert len(numbers) == 5  # nobody was under way to the pool
    short = printed(result(tmp_path, "record=summary"))
    assert "TTFT of chat: its parts are not known" in short


def binding(run: RunResult) -> Limit:
    found = verdict(run).binding
    assert found is not None
    return found


def test_too_few_that_decode_are_named_and_not_those_that_wait_for_them(tmp_path: Path) -> None:
    few = "policies: {batching: {kind: chunked-prefill, max_batch_tokens: 512, max_sequences: 4}}"
    pool = "{name: dec, llm: llama-3.1-8b, tensor_parallel: 1, replicas: 1, " + few + "}"
    run = result(tmp_path, f"pools[dec]={pool}")
    limit = binding(run)
    assert (limit.kind, limit.entity) == ("sequences", "dec")
    also = {(one.kind, one.entity): one for one in verdict(run).limits if one.binds}
    assert "most of it held prompts on their way to pool dec" in also["kv", "pre"].sentence
    assert "pools[dec]" in verdict(run).next_step


def test_a_slow_network_is_named_and_not_the_pools_that_it_fills(tmp_path: Path) -> None:
    run = result(tmp_path, "fabric.nic=2 Gb/s")
    limit = binding(run)
    assert limit.kind == "network"
    assert "KV on its way took more of the blocks" in limit.sentence
    assert verdict(run).next_step == "faster NICs: --set 'fabric.nic=4 Gb/s'"
    assert limit.share > 0.5
    # With a twentieth of the load nobody waits for room, and most are late nonetheless.
    late = binding(result(tmp_path, "fabric.nic=4 Gb/s", "workload[chat].rate=2 /s"))
    assert (late.kind, late.entity) == ("network", "chat")


def test_without_rows_nothing_is_blamed_that_is_not_known(tmp_path: Path) -> None:
    run = result(tmp_path, "fabric.nic=4 Gb/s", "workload[chat].rate=2 /s", "record=summary")
    assert binding(run).kind == "first-token"
    assert verdict(run).next_step.endswith("--set record.level=sampled")


def test_slow_steps_are_those_of_the_pool_that_decodes(tmp_path: Path) -> None:
    run = result(tmp_path, "workload[chat].slo={ttft: 5 s, tpot: 4 ms}")
    limit = binding(run)
    assert (limit.kind, limit.entity) == ("speed", "dec")


def test_a_pool_that_decodes_is_content_when_those_are_whose_requests_it_gets(
    tmp_path: Path,
) -> None:
    few = "policies: {batching: {kind: chunked-prefill, max_batch_tokens: 512, max_sequences: 2}}"
    pool = "{name: dec, llm: llama-3.1-8b, tensor_parallel: 1, replicas: 8, " + few + "}"
    run = result(
        tmp_path,
        f"pools[dec]={pool}",
        "workload[chat].slo={ttft: 50 s}",
        "workload[chat].rate=30 /s",
    )
    judged = verdict(run)
    assert judged.binding is None
    (places,) = [one for one in judged.limits if (one.kind, one.entity) == ("sequences", "dec")]
    assert places.share > 0.01
