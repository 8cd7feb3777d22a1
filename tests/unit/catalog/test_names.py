"""Names and aliases of the catalog, and what an unknown one says."""

from __future__ import annotations

import pytest

from sim import catalog
from sim.catalog.types import PRECISION_BYTES
from sim.errors import UnknownName


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("h100-sxm", "h100-sxm"),
        ("H100", "h100-sxm"),
        ("H100-SXM5-80GB", "h100-sxm"),
        ("nvidia-h100-80gb-hbm3", "h100-sxm"),
        ("NVIDIA H100 80GB HBM3", "h100-sxm"),
        ("h100_sxm", "h100-sxm"),
        ("A100-SXM4-80GB", "a100-sxm"),
        ("AMD Instinct MI300X", "mi300x"),
        ("GB200", "gb200"),
        ("NVIDIA L4", "l4"),
    ],
)
def test_gpu_aliases(alias: str, name: str) -> None:
    assert catalog.canonical_gpu(alias) == name
    assert catalog.gpu(alias) is catalog.gpu(name)


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("BF16", "bf16"),
        ("bfloat16", "bf16"),
        ("fp16", "bf16"),
        ("float8", "fp8"),
        ("e4m3", "fp8"),
        ("fp8_e4m3", "fp8"),
        ("NVFP4", "fp4"),
        ("mxfp4", "fp4"),
        ("w4a16", "int4"),
        ("int8", "int8"),
    ],
)
def test_precision_aliases(alias: str, name: str) -> None:
    assert catalog.canonical_precision(alias) == name


def test_every_precision_of_the_types_has_a_row() -> None:
    assert set(catalog.names("precision")) == set(PRECISION_BYTES)


def test_every_expected_entry_is_there() -> None:
    assert {
        "a100-sxm", "h100-sxm", "h200-sxm", "b200", "gb200", "mi300x", "l40s", "l4",
    } <= set(catalog.names("gpu"))  # fmt: skip
    assert {"dgx-h100-4", "dgx-h100-2", "dgx-a100-4", "gb200-nvl72"} <= set(catalog.names("rack"))
    assert {
        "llama-3.1-8b", "llama-3.1-70b", "llama-3.1-405b", "qwen3-8b", "qwen3-32b",
        "qwen3-30b-a3b", "mixtral-8x7b", "deepseek-v3", "gpt-oss-20b", "gpt-oss-120b",
    } <= set(catalog.names("llm"))  # fmt: skip


@pytest.mark.parametrize(
    ("call", "argument", "message"),
    [
        (
            catalog.llm,
            "llama-3.1-70B",
            "unknown LLM 'llama-3.1-70B' (did you mean 'llama-3.1-70b'?)",
        ),
        (catalog.gpu, "h100-sx", "unknown GPU 'h100-sx' (did you mean 'h100-sxm'?)"),
        (
            catalog.rack_type,
            "dgx-h100",
            "unknown rack type 'dgx-h100' (did you mean 'dgx-h100-4'?)",
        ),
        (catalog.node_type, "dgx-h10", "unknown node type 'dgx-h10' (did you mean 'dgx-h100'?)"),
        (
            catalog.canonical_precision,
            "fp32",
            "unknown precision 'fp32' (known: bf16, fp4, fp8, int4, int8)",
        ),
        (
            catalog.names,
            "gpus",
            "unknown catalog kind 'gpus' (did you mean 'gpu'?)",
        ),
    ],
)
def test_unknown_names(call: object, argument: str, message: str) -> None:
    assert callable(call)
    with pytest.raises(UnknownName) as caught:
        call(argument)
    assert str(caught.value) == message
