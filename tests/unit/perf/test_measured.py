"""A replica from measured steps: the table itself, between its points, and down the clocks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import sim
from sim import catalog
from sim.catalog.library import load
from sim.catalog.measured import MeasuredSteps, read_measured
from sim.errors import DataError
from sim.perf.measured import NotMeasured, measured_model
from sim.perf.replica import clock_shares
from sim.perf.step import Batch, ReplicaModel
from tests.unit.test_documents import blocks

STEPS = catalog.measured_steps("bloom-176b-a100")
OWN = yaml.safe_load(blocks("docs/measured.md", "yaml")[1])


def model(steps: MeasuredSteps = STEPS, sequences: int = 16) -> ReplicaModel:
    return measured_model(
        catalog.llm("bloom-176b"), catalog.gpu("a100"), steps, precision="bf16",
        kv_precision="bf16", max_sequences=sequences, max_batch_tokens=8192,
        memory_utilisation=0.9,
    )  # fmt: skip


def decode(sequences: int, context: int) -> Batch:
    return Batch(sequences, sequences, sequences * context, 0, 0, 0)


def prompt(tokens: int) -> Batch:
    return Batch(tokens, 0, 0, 0, tokens * tokens, 0)


def test_the_measured_points_come_back() -> None:
    cost, power = model().cost[0], model().power[0]
    for tokens, seconds, draw in zip(
        STEPS.prefill_tokens, STEPS.prefill_s, STEPS.prefill_draw, strict=True
    ):
        assert cost.iteration_s(prompt(tokens)) == pytest.approx(seconds)
        assert power.draw_mw(prompt(tokens), 0.0, seconds) == pytest.approx(400e3 * draw, abs=1)
    for sequences, seconds in zip(STEPS.decode_sequences, STEPS.decode_s, strict=True):
        assert cost.iteration_s(decode(sequences, 576)) == pytest.approx(seconds)
    # The row of 512 to 1,024 tokens stands for 768.
    assert power.draw_mw(decode(1, 700), 1.0, 1.0) == pytest.approx(
        400e3 * (0.635 - 0.011 * (768 - 576) / 512), abs=1
    )
    assert power.idle_mw == 86_000


def test_context_takes_time_and_draw() -> None:
    cost, power = model().cost[0], model().power[0]
    longer_s = cost.iteration_s(decode(4, 4096)) - cost.iteration_s(decode(4, 1024))
    assert longer_s == pytest.approx(4 * 3072 * 0.424e-6)
    draws = [power.decode_draw_mw(4, 4 * context) for context in (600, 1200, 5000, 9000, 16_000)]
    assert draws == sorted(draws, reverse=True)
    assert draws[-1] == draws[-2]


def test_a_mixed_iteration_takes_what_a_prompt_of_all_its_tokens_takes() -> None:
    plain = replace(STEPS, context_tokens=(), context_draw=(), context_token_s=0.0)
    cost = model(plain).cost[0]
    mixed = Batch(512, 4, 4 * 576, 0, 508 * 508, 0)
    assert cost.iteration_s(mixed) == cost.iteration_s(prompt(512))


def test_lower_clocks_are_slower_and_draw_less_by_the_equations() -> None:
    whole = model()
    shares = [hz / whole.clocks_hz[0] for hz in whole.clocks_hz]
    assert [round(hz / 1e6) for hz in whole.clocks_hz if hz / 1e6 in (1305, 1275, 1110, 288)] == [
        1305, 1275, 1110, 288,
    ]  # fmt: skip
    for share, cost, power in zip(shares, whole.cost, whole.power, strict=True):
        assert cost.iteration_s(prompt(1024)) == pytest.approx(0.2897 / share)
        slower = max(1 + 0.15 * (1 / share - 1), 0.5 / share)
        assert cost.iteration_s(decode(2, 576)) == pytest.approx(50.06e-3 * slower)
        dynamic = share * (0.85 + 0.15 * share) ** 2
        assert power.prefill_draw_mw(1024) == pytest.approx(
            400e3 * (0.215 + (1.007 - 0.215) * dynamic), abs=1
        )
        high = whole.power[0].decode_draw_mw(2, 1400)
        kept = 0.5 + 0.5 * dynamic
        assert power.decode_draw_mw(2, 1400) == pytest.approx(
            86e3 + (high - 86e3) * kept, abs=2
        )  # fmt: skip


def test_what_was_not_measured_is_refused() -> None:
    with pytest.raises(NotMeasured, match="no decoding of more than 16 sequences at a time"):
        model(sequences=17)
    with pytest.raises(NotMeasured, match="is of LLM bloom-176b, not of qwen3-8b"):
        measured_model(
            catalog.llm("qwen3-8b"), catalog.gpu("a100"), STEPS, precision="bf16",
            kv_precision="bf16", max_sequences=1, max_batch_tokens=8192, memory_utilisation=0.9,
        )  # fmt: skip


def own(tmp_path: Path, changes: dict[str, object]) -> MeasuredSteps:
    tree = yaml.safe_load(yaml.safe_dump(OWN))
    for path, value in changes.items():
        *above, key = path.split(".")
        place = tree
        for step in above:
            place = place.setdefault(step, {})
        if value is None:
            place.pop(key)
        else:
            place[key] = value
    (tmp_path / "steps.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    return read_measured(tmp_path / "steps.yaml", "steps.yaml", load().gpus, load().llms)


def test_a_file_of_ones_own_is_a_replica(tmp_path: Path) -> None:
    steps = own(tmp_path, {})
    assert steps.source_ids == ()
    assert len(model(steps).clocks_hz) == len(clock_shares(load().gpus["a100-sxm"]))


BROKEN = [
    ({"llm": "bloom"}, "unknown llm 'bloom' (did you mean 'bloom-176b'?)"),
    ({"gpu": "a100"}, "unknown gpu 'a100' (did you mean 'a100-sxm'?)"),
    ({"prefill.time": ["77 ms", "290 ms"]}, "has 2 values for 3 prefill.tokens"),
    ({"prefill.time": ["77 ms", "70 ms", "3 s"]}, "must be above 0 and never fall"),
    ({"prefill.tokens": [8, 1024, 8192]}, "which must be more than the 16 sequences"),
    ({"decode.sequences": [2, 4, 16]}, "must begin at 1, not 2"),
    ({"decode.sequences": [1, 16, 4]}, "decode.sequences: must ascend"),
    ({"decode.draw": ["20 %", "63 %", "65 %"]}, "20 % is not above the idle draw"),
    ({"clock.decode_slowdown": 1.5}, "is at most 1, not 1.5"),
    ({"clock.decode_knee": None}, "lacks 'clock.decode_knee'"),
    (
        {"levels": {"highest": "1500 MHz", "lowest": "705 MHz", "step": "15 MHz",
                    "brake": "288 MHz"}},
        "needs 210 MHz <= brake < lowest <= highest <= 1410 MHz, the clocks of a100-sxm",
    ),
    (
        {"levels": {"highest": "1410 MHz", "lowest": "700 MHz", "step": "15 MHz",
                    "brake": "288 MHz"}},
        "must go from the highest to the lowest in whole steps",
    ),
    (
        {"context": {"reference": 100, "tokens": [192, 320], "draw": ["63 %", "63 %"],
                     "time_per_token": "1 us"}},
        "100 is not within context.tokens",
    ),
    (
        {"context": {"reference": 300, "tokens": [192, 320], "draw": ["63 %", "63 %"],
                     "time_per_token": "100 us"}},
        "30 ms of context for each sequence leave times that do not ascend",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), BROKEN)
def test_broken_files(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=r"^steps\.yaml:\d+: ") as caught:
        own(tmp_path, changes)
    assert message in str(caught.value)


def test_check_says_what_the_table_does_not_hold() -> None:
    sets = ["policies.batching={kind: chunked-prefill, max_sequences: 2, max_batch_tokens: 16384}",
            "duration=1 min"]  # fmt: skip
    file = Path(__file__).resolve().parents[3] / "scenarios" / "polca-row.yaml"
    told = " ".join(sim.load_scenario(file, sets=sets).warnings)
    assert "has no prompts of more than 8,192 tokens" in told
    assert "time goes on with 549 ms per 1,000 tokens and the draw stays" in told
    assert "an iteration that does both takes what a prompt of all its tokens takes" in told


def test_both_engines_agree_on_measured_steps() -> None:
    file = Path(__file__).resolve().parents[3] / "scenarios" / "polca-row.yaml"
    for batching in ("prefill-first", "chunked-prefill"):
        sets = [f"policies.batching.kind={batching}", "policies.batching.max_sequences=4",
                "duration=4 min", "power.ups[row-ups].rating=130 kW"]  # fmt: skip
        scenario = sim.load_scenario(file, sets=sets)
        runs = [sim.run_scenario(scenario, 3, engine=name) for name in ("reference", "compiled")]
        for table in ("requests", "events", "clocks"):
            assert runs[0].tables[table].equals(runs[1].tables[table]), table
        assert len(runs[0].tables["requests"]) > 100
        assert runs[0].metrics["brakes"].value > 0
