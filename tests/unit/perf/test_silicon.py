"""Step times of aiconfigurator-core: what is asked, what is refused, what becomes of the answer.

Tests with the package itself are skipped where the extra 'silicon' is not installed.
"""

from __future__ import annotations

from dataclasses import replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from sim import catalog
from sim.paths import data
from sim.perf import replica_model, silicon
from sim.perf.calibration import overheads
from sim.perf.estimator import Work
from sim.perf.silicon import Plan, Silicon, SiliconError, silicon_named, with_silicon
from sim.perf.step import Batch, ReplicaModel
from tests.unit.perf.test_estimator import LIMITS, Known, known

installed = pytest.mark.skipif(
    find_spec("aiconfigurator_core") is None,
    reason="aiconfigurator-core is not installed (the extra 'silicon')",
)
TRTLLM = Silicon("trtllm", None, "0.12.0")
PLAN = Plan("fp8", "fp8", 1, 256, 8192)


def own(llm: str = "llama-3.1-8b", gpu: str = "h100", plan: Plan = PLAN) -> ReplicaModel:
    device = catalog.gpu(gpu)
    return replica_model(
        catalog.llm(llm), device, precision=plan.precision, kv_precision=plan.kv_precision,
        tensor_parallel=plan.tensor_parallel, pipeline_parallel=1,
        max_sequences=plan.max_sequences, max_batch_tokens=plan.max_batch_tokens,
        memory_utilisation=0.9, stage_bytes_per_s=device.link_bytes_per_s,
    )  # fmt: skip


def asked(
    llm: str = "llama-3.1-8b", gpu: str = "h100", plan: Plan = PLAN, kernels: Silicon = TRTLLM
) -> ReplicaModel:
    return with_silicon(own(llm, gpu, plan), catalog.llm(llm), catalog.gpu(gpu), plan, kernels)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Known:
    """Instead of the package: a known cost of our form."""
    estimator = known(replace(LIMITS, batch_tokens=8192))
    monkeypatch.setattr(silicon, "_Engine", lambda asked, release: estimator)
    silicon._reduced.cache_clear()
    yield estimator  # type: ignore[misc]
    silicon._reduced.cache_clear()


def decode(sequences: int, context: int) -> Batch:
    return Batch(sequences, sequences, sequences * context, 0, 0, 0)


def prompt(tokens: int) -> Batch:
    return Batch(tokens, 0, 0, 0, tokens * tokens, 0)


BATCHES = (decode(1, 100), decode(64, 2000), prompt(512), prompt(8192))


def test_the_full_clock_has_the_estimators_times_and_the_host(fake: Known) -> None:
    model, over = asked(), overheads()
    for batch in BATCHES:
        host_s = over.iteration_s + over.sequence_s * batch.decodes
        want = fake.cost.iteration_s(batch) + host_s
        assert model.cost[0].iteration_s(batch) == pytest.approx(want, rel=1e-4)
    assert model.reduction is not None
    assert model.reduction.median < 1e-6


def test_lower_clocks_are_slower_as_our_own_are(fake: Known) -> None:
    model, ours = asked(), own()
    host_s = overheads().iteration_s
    for batch in BATCHES:
        times = [cost.iteration_s(batch) for cost in model.cost]
        assert times == sorted(times)
    whole = Batch(8192, 0, 0, 0, 0, 0)
    for cost, level in zip(model.cost, ours.cost, strict=True):
        slower = level.iteration_s(whole) / ours.cost[0].iteration_s(whole)
        want = slower * fake.cost.iteration_s(whole) + host_s
        assert cost.iteration_s(whole) == pytest.approx(want, rel=1e-4)
        kv = level.per_kv_token_s / ours.cost[0].per_kv_token_s
        assert cost.per_kv_token_s == pytest.approx(kv * fake.cost.per_kv_token_s, rel=1e-3)


def test_memory_stays_and_draw_follows_the_times(fake: Known) -> None:
    model, ours = asked(), own()
    assert (model.kv_blocks, model.memory, model.clocks_hz) == (
        ours.kv_blocks, ours.memory, ours.clocks_hz,
    )  # fmt: skip
    assert model.power != ours.power
    assert model.power[0].idle_mw == ours.power[0].idle_mw
    assert len(model.power) == len(ours.power)


def test_groups_have_their_share_of_each_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def reduced(asked: Any, limits: Any, release: str) -> Any:
        seen.append((dict(asked.options), limits))
        raise SiliconError("enough")

    monkeypatch.setattr(silicon, "_reduced", reduced)
    plan = Plan("fp8", "fp8", 8, 256, 8192, 1, 4, 2)
    with pytest.raises(SiliconError, match="enough"):
        with_silicon(
            own(), catalog.llm("qwen3-235b-a22b"), catalog.gpu("h200"), plan, TRTLLM
        )  # fmt: skip
    options, limits = seen[0]
    assert (limits.sequences, limits.batch_tokens, limits.groups) == (128, 4096, 2)
    assert options == {
        "tp_size": 4, "attention_dp_size": 2, "moe_tp_size": 2, "moe_ep_size": 4,
        "gemm_quant_mode": "fp8_block", "moe_quant_mode": "fp8_block",
        "kvcache_quant_mode": "fp8", "fmha_quant_mode": "fp8",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("llm", "gpu", "changes", "message"),
    [
        ("llama-3.1-8b", "h100", {"pipeline_parallel": 2}, "write pipeline_parallel: 1"),
        ("llama-3.1-8b", "h100", {"domains": 2}, "2 NVLink domains"),
        ("deepseek-v3", "h200", {"tensor_parallel": 8}, "MLA"),
        ("gemma-3-4b", "h100", {}, r"no LLM gemma-3-4b \(it has gpt-oss-120b, .*qwen3-8b"),
        ("llama-3.1-8b", "mi300x", {}, r"no GPU mi300x \(it has a100-sxm, h100-sxm"),
        ("llama-3.1-8b", "h100", {"precision": "int8"}, r"weights in int8 \(it has bf16, fp8"),
        ("gpt-oss-20b", "h100", {"precision": "bf16"}, r"weights in bf16 \(it has fp4\)"),
        ("llama-3.1-8b", "h100", {"kv_precision": "fp4"}, r"KV precision fp4 \(it has bf16, fp8"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_what_can(
    llm: str, gpu: str, changes: dict[str, Any], message: str
) -> None:
    plan = replace(PLAN, **changes)
    with pytest.raises(SiliconError, match=message):
        with_silicon(own(), catalog.llm(llm), catalog.gpu(gpu), plan, TRTLLM)


def test_an_absent_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    with pytest.raises(SiliconError, match=r"pip install 'rackplan\[silicon\]'"):
        silicon_named("trtllm")


def test_another_release_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: "0.13.1")
    with pytest.raises(SiliconError, match=r"aiconfigurator-core 0\.12\.\*, not 0\.13\.1"):
        silicon_named("trtllm")


def test_only_one_module_imports_the_package() -> None:
    root = Path(silicon.__file__).parents[1]
    users = [path.name for path in root.rglob("*.py") if "aiconfigurator_core" in path.read_text()]
    assert users == ["silicon.py"]
    assert Path(data("calibration", "silicon.yaml")).is_file()


@installed
@pytest.mark.parametrize("backend", ["trtllm", "vllm", "sglang"])
def test_the_package_reduces_closely(backend: str) -> None:
    model = asked(kernels=silicon_named(backend))
    assert model.reduction is not None
    assert model.reduction.estimator.startswith(f"aiconfigurator-core 0.12.0, {backend} ")
    assert model.reduction.batches == 90
    assert model.reduction.median < 0.06
    assert model.reduction.p90 < 0.15
    # Within a factor of our own kernels, which were fitted to half of its tables.
    for batch in BATCHES:
        ratio = model.cost[0].iteration_s(batch) / own().cost[0].iteration_s(batch)
        assert 0.6 < ratio < 1.6


@installed
def test_a_whole_prompt_beside_decoding_is_the_packages_own_mixed_step() -> None:
    llm, gpu = catalog.llm("llama-3.1-8b"), catalog.gpu("h100")
    engine = silicon._Engine(silicon._Asked.of(llm, gpu, PLAN, TRTLLM), "0.12.0")
    mine_s = engine.iteration_s(Work(16, 2048, 1, 2048))
    theirs_s = engine._handle.mixed_step_latency(2048, 16, 2048, 2) / 1e3
    assert mine_s == pytest.approx(theirs_s, rel=1e-9)


@installed
def test_versions_and_kernels_that_the_package_lacks() -> None:
    with pytest.raises(SiliconError, match=r"no trtllm 9\.9 on h100_sxm \(it has 1\.3\.0rc20"):
        asked(kernels=silicon_named("trtllm", "9.9"))
    with pytest.raises(SiliconError, match="int4_wo") as caught:
        asked(plan=replace(PLAN, precision="int4"))
    assert "/" not in str(caught.value)
