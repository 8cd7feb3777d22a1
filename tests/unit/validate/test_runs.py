"""Reading measured runs, with the pitfalls of the public tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.errors import DataError
from sim.validate.runs import LENGTHS, Layout, groups, read_runs, stack_for

SILICON = (
    "origin,measured,system,model_path,precision,backend,backend_version,mode,isl,osl,concurrency,"
    "batch_size,tp_size,pp_size,attention_dp_size,moe_tp_size,moe_ep_size,approx_gpus,ttft_ms,"
    "tpot_ms"
)


def table(tmp_path: Path, *rows: str, header: str = SILICON, first: str = "# a comment") -> Path:
    path = tmp_path / "table.csv"
    path.write_text("\n".join([first, header, *rows]) + "\n", encoding="utf-8")
    return path


def test_pitfalls(tmp_path: Path) -> None:
    good = "nvidia_internal,,h100_sxm,Qwen/Qwen3-32B,,vllm,0.12.0,agg,1000,100,8,8,2,1,1,1,1,2,"
    rows = [
        good + "100,10",
        good + "100,10",  # an exact duplicate
        good + "70000,10",
        good.replace(",8,8,2", ",,8,2") + "100,10",
        good.replace("Qwen/Qwen3-32B", "some/llm") + "100,10",
        "inferencex_csv,,h200_sxm,meta-llama/Llama-3.1-70B,fp8,vllm,,agg,1024,1024,4,4,1,1,1,1,1,1,"
        "100,10",
    ]
    runs = read_runs(table(tmp_path, *rows))
    assert [run.line for run in runs] == [3, 5, 6, 7, 8]
    assert [run.not_simulated for run in runs] == [
        "", "TTFT above 60 s", "no concurrency stated", "no LLM some/llm in the catalog", "",
    ]  # fmt: skip
    assert [len(part) for _, part in groups(runs)] == [1, 1, 1]
    first, last = runs[0], runs[-1]
    assert (first.precision, first.stack, first.gpu) == ("bf16", "vllm-0.12-bf16", "h100-sxm")
    assert first.throughput(100) == pytest.approx(8 * 100 / (0.1 + 99 * 0.01))
    assert last.stack == "vllm-inferencex-fp8"
    assert LENGTHS[last.origin] == (0.9, 1 / 9)
    assert stack_for(last).protocol.length_share == 0.9


def test_halves_go_by_configuration(tmp_path: Path) -> None:
    rows = [
        f"nvidia_internal,,h100_sxm,Qwen/Qwen3-32B,,vllm,0.12.0,agg,{isl},100,{clients},8,2,1,1,1,"
        f"1,2,100,10"
        for isl in range(100, 200)
        for clients in (4, 8)
    ]
    runs = read_runs(table(tmp_path, *rows))
    held = {run.input_tokens for run in runs if run.held_out}
    fitted = {run.input_tokens for run in runs if not run.held_out}
    assert not held & fitted
    assert 30 < len(held) < 70


def test_expert_parallel_runs_are_listed_until_they_are_modelled(tmp_path: Path) -> None:
    row = ("nvidia_internal,,h100_sxm,Qwen/Qwen3-235B-A22B-FP8,fp8,trtllm,1.0.0rc3,agg,128,128,16,"
           "16,4,1,1,1,4,4,100,10")  # fmt: skip
    run = read_runs(table(tmp_path, row))[0]
    assert run.layout == Layout(4, expert_parallel=4)
    assert run.not_simulated in ("", "expert parallelism not modelled")


OWN = "llm,gpu,precision,tensor_parallel,input_tokens,output_tokens,concurrency,ttft_s,tpot_s,stack"


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    row = "llama-3.1-8b,h100,bf16,1,1000,200,8,0.1,0.01,vllm-0.12"
    run = read_runs(table(tmp_path, row, header=OWN, first="#"))[0]
    assert (run.stack, run.origin, run.not_simulated) == ("vllm-0.12-bf16", "own", "")
    assert stack_for(run).protocol.length_share == 1.0


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("llama-3.1-8,h100,bf16,1,1000,200,8,0.1,0.01,", "did you mean 'llama-3.1-8b'?"),
        ("llama-3.1-8b,h100,bf16,1,1000,200,8,0.1,0.01,vlm-0.12", "did you mean 'vllm-0.12'?"),
        (
            "llama-3.1-8b,h100,bf16,1,x,200,8,0.1,0.01,",
            "column 'input_tokens': expected a number above 0, not 'x'",
        ),
    ],
)
def test_a_wrong_cell_is_said_with_its_line(tmp_path: Path, row: str, message: str) -> None:
    path = table(tmp_path, row, header=OWN, first="#")
    with pytest.raises(DataError) as caught:
        read_runs(path)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert message in str(caught.value)


def test_an_unknown_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no table that is known: its columns are a, b"):
        read_runs(table(tmp_path, "1,2", header="a,b", first="#"))
