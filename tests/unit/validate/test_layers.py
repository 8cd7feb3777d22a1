"""Attention, experts and collectives of measured tables, predicted row by row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from sim.catalog.library import load
from sim.cli.app import app
from sim.errors import DataError
from sim.perf.attention import Heads
from sim.perf.collectives.timing import Between, time_collective
from sim.perf.experts import Layer
from sim.perf.kernel_ops import all_reduce, attention_decode, attention_prefill, moe
from sim.validate.layers import check_unknown, is_layers, layer_timings
from sim.validate.layers_report import layers_distrust, layers_text, write_layers
from sim.validate.tables import columns_of
from sim.validate.timings import Found, Timings

DECODE = "kv_cache_dtype,head_dim,n_q,n_kv,batch_size,kv_len,latency_ms"
PREFILL = "gpu,attn_dtype,kv_cache_dtype,head_dim,n_q,n_kv,batch_size,isl,latency_ms"
MOE = ("gpu,moe_dtype,kernel_source,hidden_size,inter_size,topk,num_experts,moe_tp_size,"
       "moe_ep_size,distribution,num_tokens,latency_ms")  # fmt: skip
COLLECTIVE = "gpu,transport,src,impl,op,dtype,num_gpus,size_bytes,latency_ms"
PAGES = "series,op,gpu,num_gpus,nodes,size_bytes,time_us,transport,nics,nic_gbps"


def read(folder: Path, name: str, header: str, *rows: str) -> Found:
    path = folder / name
    path.write_text("\n".join(["# where it is from", header, *rows]) + "\n", encoding="utf-8")
    columns = columns_of(path)
    assert is_layers(columns)
    return layer_timings(path, columns)


def by_row(found: Found) -> Iterator[tuple[Timings, int]]:
    for one in found.timings:
        for i in range(len(one.measured_s)):
            yield one, i


def test_decode_is_what_predict_kernels_says(tmp_path: Path) -> None:
    rows = ("bfloat16,128,32,8,16,2048,0.1", "fp8,128,8,8,4,512,0.1", "fp8,80,32,8,1,64,0.1")
    found = read(tmp_path, "aic_attn_decode_h100_sxm.csv", DECODE, *rows)
    gpu = load().gpus["h100-sxm"]
    assert {one.kernel for one in found.timings} == {
        "grouped kv bf16", "single kv fp8", "grouped kv fp8",
    }  # fmt: skip
    for one, i in by_row(found):
        c = {name: float(values[i]) for name, values in one.columns.items()}
        heads = Heads(int(c["n_q"]), int(c["n_kv"]), c["head_dim"])
        kv = one.kernel.split()[-1]
        said = attention_decode(gpu, kv, heads, int(c["batch_size"]), int(c["kv_len"]))
        assert one.predicted_s[i] == pytest.approx(said.time_s, rel=1e-12)
        assert one.measured_s[i] == pytest.approx(1e-4)
        assert one.fitted[i] == (c["head_dim"] == 128)  # heads of 80 were not measured
        assert one.record is not None
        assert one.errors[i] == pytest.approx(said.time_s / 1e-4 - 1)


def test_prefill_and_experts_are_what_predict_kernels_says(tmp_path: Path) -> None:
    found = read(
        tmp_path, "mine.csv", PREFILL, "h100_sxm,bfloat16,fp8,128,32,8,2,1000,0.2",
        "h200_sxm,fp8,fp8,64,16,4,2,1000,0.2", "tpu,fp8,fp8,64,16,4,2,1000,0.2",
        "a100_sxm,fp8,fp8,64,16,4,2,1000,0.2",
    )  # fmt: skip
    first, second = found.timings
    gpus = load().gpus
    said = attention_prefill(gpus["h100-sxm"], "bf16", "fp8", Heads(32, 8, 128), 2, 1000)
    assert first.predicted_s == pytest.approx(said.time_s, rel=1e-12)
    assert first.fitted.all()
    assert second.record is None  # measured on the H100 only
    assert not second.fitted.any()
    assert "no GPU tpu in the catalog" in found.skipped[0]
    assert "no constants for fp8 with KV in fp8 on a100-sxm" in found.skipped[1]

    found = read(
        tmp_path, "moe.csv", MOE,
        "h100_sxm,fp8,moe_torch_flow_cutlass,4096,14336,2,8,4,1,power_law_1.2,64,0.2",
        "h100_sxm,fp8,moe_torch_flow_cutlass,4096,1536,8,128,1,8,balanced,64,0.2",
        "h100_sxm,fp8,another,4096,1536,8,128,1,8,balanced,64,0.2",
    )  # fmt: skip
    (one,) = found.timings
    for i, (layer, ranks, routing) in enumerate(
        ((Layer(8, 2, 4096, 3584, 1, 1.0), 4, "power-law"),
         (Layer(128, 8, 4096, 1536, 8, 1.0), 1, "balanced"))
    ):  # fmt: skip
        said = moe(gpus["h100-sxm"], "fp8", layer, ranks, 64, routing)
        assert one.predicted_s[i] == pytest.approx(said.time_s, rel=1e-12)
    assert one.fitted.tolist() == [True, False]
    assert "no constants for fp8 (another) on h100-sxm" in found.skipped[0]


def test_collectives_by_who_sends_them(tmp_path: Path) -> None:
    tail = "all_reduce,bfloat16,4,65536"
    found = read(
        tmp_path, "c.csv", COLLECTIVE,
        f"h100_sxm,nvlink,a,vllm_graph,{tail},0.02", f"h100_sxm,nvlink,b,sglang_graph,{tail},0.01",
        f"h100_sxm,nvlink,a,vllm_eager,{tail},0.09", f"a100_sxm,nvlink,a,TRTLLM,{tail},0.01",
        "h100_sxm,nvlink,nccl/2.27,NCCL,all_reduce,int8,8,1048576,0.1",
        "h100_sxm,nvlink,nccl/2.23,NCCL,all_gather,half,8,1048576,0.1",
        "b60,pcie,nccl/2.27,NCCL,all_gather,half,8,1048576,0.1",
    )  # fmt: skip
    engine, other, new, old = found.timings
    gpus = load().gpus
    assert engine.measured_s == pytest.approx(1e-5)  # the fastest
    assert engine.predicted_s == pytest.approx(all_reduce(gpus["h100-sxm"], 4, 65536).time_s)
    assert (engine.fitted.all(), other.fitted.any()) == (True, False)
    said = time_collective("all-reduce", 2**20, "h100-sxm", 8, bits=8).time_s
    assert new.predicted_s == pytest.approx(said)
    assert (new.fitted.all(), old.fitted.any()) == (True, False)
    assert "1 rows with the host's overhead" in found.skipped[0]
    assert "b60" in found.skipped[1]


def test_collectives_between_servers_say_their_network(tmp_path: Path) -> None:
    tail = "all_reduce,NVIDIA H100 80GB HBM3,16,2,1073741824,5000"
    found = read(
        tmp_path, "pages.csv", PAGES, f"h100_2node_ib_good,{tail},,,", f"mine,{tail},rdma,4,200",
        f"unknown,{tail},,,",
    )  # fmt: skip
    known, mine = found.timings
    for one, between in ((known, Between(8, 50e9)), (mine, Between(4, 25e9))):
        said = time_collective("all-reduce", 2**30, "h100-sxm", 16, domains=2, between=between)
        assert one.predicted_s == pytest.approx(said.time_s)
        assert one.measured_s == pytest.approx(5e-3)
    assert (known.fitted.all(), mine.fitted.any()) == (True, False)
    assert "1 rows of unknown, no transport known" in found.skipped[0]


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        (DECODE, "fp8,128,x,8,1,64,0.1", "column 'n_q': expected a number above 0, not 'x'"),
        (DECODE, "fp8,128,32,5,1,64,0.1", "column 'n_kv': KV heads must divide those of 'n_q'"),
        (DECODE, "fp8,128,32,8,1,64,0", "column 'latency_ms': expected a number above 0, not '0'"),
        (MOE, "h100,fp8,moe_torch_flow_cutlass,4096,1536,8,128,1,8,odd,64,0.2",
         "column 'distribution': expected balanced or power_law_1.2, not 'odd'"),
        (COLLECTIVE, "h100,nvlink,a,NCCL,scan,half,8,64,0.1",
         "column 'op': expected one of all_reduce, all_gather, reduce_scatter, alltoall"),
        (PAGES, "a,all_reduce,TPU v5,16,1,64,9,,,", "column 'gpu': expected one of H100"),
    ],
)  # fmt: skip
def test_a_wrong_cell_is_said_with_its_line(
    tmp_path: Path, header: str, row: str, message: str
) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, "aic_attn_decode_h100_sxm.csv", header, row)
    assert str(caught.value).startswith(f"{tmp_path / 'aic_attn_decode_h100_sxm.csv'}:3: ")
    assert message in str(caught.value)


def test_a_table_of_times_that_is_none_of_these_is_refused(tmp_path: Path) -> None:
    check_unknown(tmp_path / "other.csv", {"a", "b"})
    columns = set(DECODE.split(",")) - {"n_kv", "kv_len"}
    with pytest.raises(DataError, match="as one of decode attention it lacks the columns n_kv, kv"):
        check_unknown(tmp_path / "mine.csv", columns)


def test_the_report_keeps_apart_what_the_fit_saw(tmp_path: Path) -> None:
    rows = [f"fp8,128,32,8,{n},2048,0.1" for n in range(1, 13)]
    rows += [f"fp8,80,32,8,{n},2048,0.1" for n in range(1, 13)]
    found = read(tmp_path, "aic_attn_decode_h100_sxm.csv", DECODE, *rows)
    text = "\n".join(layers_text(found.timings, ["a reason"]))
    assert "| h100-sxm, grouped kv fp8 | in the fit | 12 |" in text
    assert "| h100-sxm, grouped kv fp8 | not in the fit | 12 |" in text
    assert "| 3782 | 5.0 % |" in text  # the record beside it
    assert "* a reason" in text
    assert any("attention-decode on h100-sxm" in line for line in layers_distrust(found.timings))
    write_layers(tmp_path, found.timings)
    lines = (tmp_path / "attention-decode.csv").read_text().splitlines()
    assert len(lines) == 25
    assert lines[0].endswith("kv_len,in_the_fit,predicted_s,measured_s,error")


def test_the_public_tables_are_as_recorded(shared_data: Path) -> None:
    """In sample the median is no worse than what the record says of shapes held out."""
    for name in ("aic_attn_decode_h100_sxm.csv", "aic_attn_prefill_h100_sxm.csv",
                 "aic_moe_h100_h200_b200.csv"):  # fmt: skip
        path = shared_data / "kernels" / name
        found = layer_timings(path, columns_of(path))
        assert not found.skipped
        for one in found.timings:
            assert one.record is not None
            assert one.fitted.all()
            assert one.record.rows == len(one.errors)
            assert np.median(abs(one.errors)) <= one.record.median + 0.001


def test_the_command_reads_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    read(folder, "aic_attn_decode_h100_sxm.csv", DECODE, "fp8,128,32,8,16,2048,0.1")
    out = tmp_path / "out"
    result = CliRunner().invoke(app, ["validate", str(folder), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "attention-decode on h100-sxm: 1 rows in the fit, median error" in result.stdout
    assert "### Attention of decoding" in (out / "report.md").read_text(encoding="utf-8")
    (folder / "odd.csv").write_text("n_q,latency_ms\n1,2\n")
    result = CliRunner().invoke(app, ["validate", str(folder), "--out", str(out)])
    assert "odd.csv: has times, but is no table that is known" in str(result.exception)
