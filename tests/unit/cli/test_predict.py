"""``rackplan predict``: what it prints, and what it says of bad input."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sim.cli.predict import predict_app
from sim.perf.expected import expected_error
from sim.perf.gemm_record import gemm_record

PLAN = {
    "llm": "llama-3.1-70b",
    "gpu": "h100-sxm",
    "precision": "fp8",
    "tensor_parallel": "4",
    "input_tokens": "1024",
    "output_tokens": "128",
    "concurrency": "16",
}


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(predict_app, list(arguments))


def options(**changes: str) -> list[str]:
    pairs = {**PLAN, **changes}.items()
    return [part for name, value in pairs for part in (f"--{name.replace('_', '-')}", value)]


def table(path: Path, *rows: dict[str, str]) -> str:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def test_kernels_prints_the_rows_with_a_time(tmp_path: Path) -> None:
    file = tmp_path / "k.csv"
    file.write_text("dtype,m,n,k,note\nbfloat16,1,4096,4096,a\nfp8_block,64,8192,1024,b\n")
    rows = list(csv.DictReader(io.StringIO(invoke("kernels", "--gpu", "H100", str(file)).stdout)))
    assert [(row["dtype"], row["m"], row["note"]) for row in rows] == [
        ("bfloat16", "1", "a"),
        ("fp8_block", "64", "b"),
    ]
    assert all(1e-6 < float(row["time_s"]) < 1e-3 for row in rows)


def test_kernels_as_json(tmp_path: Path) -> None:
    file = tmp_path / "k.csv"
    file.write_text("dtype,m,n,k\nbf16,128,4096,4096\n")
    (row,) = json.loads(invoke("kernels", "--gpu", "h100-sxm", str(file), "--json").stdout)
    assert (row["m"], row["n"], row["k"]) == (128, 4096, 4096)
    assert isinstance(row["time_s"], float)


def kernel_rows(tmp_path: Path, gpu: str, *lines: str) -> list[dict[str, object]]:
    file = tmp_path / "k.csv"
    file.write_text("\n".join(["dtype,m,n,k", *lines]) + "\n")
    found: list[dict[str, object]] = json.loads(
        invoke("kernels", "--gpu", gpu, str(file), "--json").stdout
    )
    return found


def test_a_kernel_has_its_expected_error_beside_its_time(tmp_path: Path) -> None:
    (row,) = kernel_rows(tmp_path, "h100", "bfloat16,128,4096,4096")
    record = gemm_record("h100-sxm", "bf16").by_m["m 17-255"]
    time_s = row["time_s"]
    assert isinstance(time_s, float)
    assert list(row)[-5:] == ["time_s", "error", "time_p10_s", "time_p90_s", "note"]
    assert row["error"] == record.median
    assert row["time_p10_s"] == time_s * math.exp(record.log_p10)
    assert row["time_p90_s"] == time_s * math.exp(record.log_p90)
    assert row["note"] == ""


@pytest.mark.parametrize(
    ("gpu", "line", "note"),
    [
        (
            "h100",
            "bf16,8,131072,4096",
            "outside the calibrated region: n 131072 > 65536 measured",
        ),
        (
            "l4",
            "bf16,8,4096,64",
            "bf16 was not measured on l4: constants of l40s bf16; "
            "outside the calibrated region: k 64 < 512 measured",
        ),
        (
            "h200",
            "fp8_block,8,4096,4096",
            "fp8_block was not measured on h200-sxm: constants of h200-sxm fp8",
        ),
        (
            "h100",
            "int8,8,4096,4096",
            "int8 was not measured on h100-sxm: constants of h100-sxm fp8",
        ),
        ("b200", "nvfp4,8,4096,4096", ""),
    ],
)
def test_a_kernel_says_where_it_is_less_sure(
    tmp_path: Path, gpu: str, line: str, note: str
) -> None:
    (row,) = kernel_rows(tmp_path, gpu, line)
    assert row["note"] == note


def test_a_tables_own_note_and_error_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "k.csv"
    file.write_text("dtype,m,n,k,error,note\nbf16,1,131072,4096,x,y\n")
    (row,) = csv.DictReader(io.StringIO(invoke("kernels", "--gpu", "H100", str(file)).stdout))
    assert (row["error"], row["note"]) == ("x", "y")
    assert float(row["predicted_error"]) > 0
    assert row["predicted_note"].startswith("outside the calibrated region: n 131072")


def test_serving_prints_the_documented_keys() -> None:
    answer = json.loads(invoke("serving", *options(), "--json").stdout)
    assert {"output_tokens_per_s", "ttft_p50_s", "tpot_p50_s", "gpu_draw_w", "fits"} <= set(answer)
    assert answer["fits"] is True
    assert 100 < answer["output_tokens_per_s"] < 5000
    assert 100 < answer["gpu_draw_w"] < 700


def test_serving_without_json_is_readable() -> None:
    plan = {"llm": "llama-3.1-70b", "gpu": "h100-sxm", "tensor_parallel": 4}
    sentence = expected_error("pooled", **plan).sentence()
    assert sentence.endswith(": unseen stack")
    lines = invoke("serving", *options()).stdout.splitlines()
    assert [line.split("  ")[0].strip() for line in lines] == [
        "output",
        "TTFT, median",
        "TTFT, mean",
        "TPOT, median",
        "draw per GPU",
        f"Expected error, pooled stack: {sentence}",
        "Warning: lengths that are all but equal keep clients in step, which decides the TTFT: "
        "state --length-spread, or the --stack whose runs are meant",
    ]
    spread = invoke("serving", *options(), "--length-spread", "0.2").stdout
    assert "keep clients in step" not in spread


def test_serving_file_keeps_order_and_says_what_does_not_fit(tmp_path: Path) -> None:
    file = table(
        tmp_path / "s.csv", PLAN, {**PLAN, "precision": "bf16", "tensor_parallel": "1"}, PLAN
    )
    first, second, third = json.loads(invoke("serving", "--file", file, "--json").stdout)
    assert first == third
    assert second["fits"] is False
    assert second["ttft_p50_s"] is None
    assert "does not fit on 1 x h100-sxm" in second["message"]


def test_serving_file_as_csv_keeps_its_columns(tmp_path: Path) -> None:
    file = table(tmp_path / "s.csv", {**PLAN, "max_sequences": "8"})
    (row,) = csv.DictReader(io.StringIO(invoke("serving", "--file", file).stdout))
    assert row["max_sequences"] == "8"
    assert float(row["tpot_p50_s"]) > 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dtype,m,n\nbf16,1,2\n", "1: column 'k' is missing (found: dtype, m, n)"),
        ("dtype,m,n,k\nbf16,x,2,3\n", "2: column 'm': expected a whole number, not 'x'"),
        ("dtype,m,n,k\nbf16,1,2,0\n", "2: column 'k': must be at least 1, not 0"),
        ("dtype,m,n,k\n\nbf16,1,2\n", "3: has 3 cells, the header 4"),
        (
            "dtype,m,n,k\nfp4,1,64,64\n",
            "2: column 'dtype': h100-sxm has no fp4 arithmetic (it has bf16, fp8, int8)",
        ),
        ("dtype,m,n,k,k\nbf16,1,1,1,1\n", "1: column 'k' occurs twice"),
        (
            "dtype,m,n,k,time_s\nbf16,1,1,1,1\n",
            "1: column 'time_s' is one that this command adds: rename it",
        ),
        (f"dtype,m,n,k\nbf16,{10**400},1,1\n", "2: column 'm': must be at most 2,147,483,647"),
        ("dtype,m,n,k\nbf16,2147483648,1,1\n", "2: column 'm': must be at most 2,147,483,647"),
        ("dtype,m,n,k\nbf16,1_0,1,1\n", "2: column 'm': expected a whole number, not '1_0'"),
        ("dtype,m,n,k\nbf16,-1,1,1\n", "2: column 'm': must be at least 1, not -1"),
        (
            'note,dtype,m,n,k\n"two\nlines",bf16,1,1,1\nb,bf16,x,1,1\n',
            "4: column 'm': expected a whole number, not 'x'",
        ),
        ('dtype,m,n,k\nbf16,1,1,"1\n', "2: is not CSV: unexpected end of data"),
        ("\n\n", " is empty; expected columns dtype, m, n, k"),
    ],
)
def test_bad_kernel_tables(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(text)
    result = invoke("kernels", "--gpu", "h100-sxm", str(file))
    assert str(result.exception) == f"{file}:{message}"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"concurrency": "many"}, "2: column 'concurrency': expected a whole number, not 'many'"),
        (
            {"llm": "llama-3.1-7b"},
            "2: column 'llm': unknown LLM 'llama-3.1-7b' (did you mean 'llama-3.1-70b'?)",
        ),
        (
            {"gpu": "h1000"},
            "2: column 'gpu': unknown GPU 'h1000' (did you mean 'h100'?)",
        ),
        (
            {"precision": "fp4"},
            "2: column 'precision': h100-sxm has no fp4 arithmetic (it has bf16, fp8, int8)",
        ),
        (
            {"tensor_paralel": "4"},
            "1: unknown column 'tensor_paralel' (did you mean 'tensor_parallel'?)",
        ),
        (
            {"tensor_parallel": "3"},
            "2: tensor_parallel 3 does not divide the 64 attention heads of llama-3.1-70b "
            "(try 1, 2, 4, 8, 16, 32, 64)",
        ),
    ],
)
def test_bad_serving_tables(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    file = table(tmp_path / "bad.csv", {**PLAN, **changes})
    result = invoke("serving", "--file", file)
    assert str(result.exception) == f"{file}:{message}"


def test_a_block_scaled_dtype_is_the_same_however_spelt(tmp_path: Path) -> None:
    file = tmp_path / "k.csv"
    dtypes = ("fp8_block", "fp8-block", "FP8_BLOCK", "fp8")
    file.write_text("dtype,m,n,k\n" + "".join(f"{dtype},64,4096,4096\n" for dtype in dtypes))
    rows = json.loads(invoke("kernels", "--gpu", "h100-sxm", str(file), "--json").stdout)
    first, second, third, plain = (row["time_s"] for row in rows)
    assert first == second == third != plain


def test_a_spreadsheets_csv_reads_like_any_other(tmp_path: Path) -> None:
    """Byte order mark, CRLF, columns in another order, quotes, a line break inside a cell."""
    file = tmp_path / "k.csv"
    file.write_bytes(b'\xef\xbb\xbf"k",note,n,m,dtype\r\n\r\n4096,"a\r\n""b""",4096,"16",BF16\r\n')
    (row,) = csv.DictReader(io.StringIO(invoke("kernels", "--gpu", "H100", str(file)).stdout))
    assert row["note"] == 'a\n"b"'
    assert float(row["time_s"]) > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_tokens": "0"}, "--input-tokens: must be at least 1, not 0"),
        ({"precision": "fp9"}, "--precision: unknown precision 'fp9' (did you mean 'fp8'?)"),
        ({"concurrency": "100001"}, "concurrency must be at most 100,000, not 100,001"),
    ],
)
def test_bad_options_are_named_as_options(changes: dict[str, str], message: str) -> None:
    assert str(invoke("serving", *options(**changes)).exception) == message


def test_missing_options_are_all_named() -> None:
    result = invoke("serving", "--llm", "llama-3.1-70b", "--gpu", "h100-sxm", "--precision", "fp8")
    assert str(result.exception) == (
        "predict serving needs --tensor-parallel, --input-tokens, --output-tokens, --concurrency "
        "(or --file CSV)"
    )


def test_kernels_of_several_operations(tmp_path: Path) -> None:
    shape = {"n_q": "32", "n_kv": "8", "head_dim": "128", "batch": "16"}
    empty = dict.fromkeys(
        ("dtype", "kv_dtype", "n_q", "n_kv", "head_dim", "batch", "kv_tokens", "tokens", "hidden",
         "ffn", "experts", "experts_per_token", "tensor_parallel", "expert_parallel", "routing",
         "gpus", "size_bytes", "m", "n", "k"),
        "",
    )  # fmt: skip
    experts = {
        "hidden": "4096", "ffn": "14336", "experts": "8", "experts_per_token": "2",
        "tensor_parallel": "1", "expert_parallel": "8", "routing": "balanced",
    }  # fmt: skip
    rows = [
        {"op": "", **empty, "dtype": "bf16", "m": "64", "n": "4096", "k": "4096"},
        {"op": "attention-decode", **empty, **shape, "kv_dtype": "bf16", "kv_tokens": "2048"},
        {"op": "attention-prefill", **empty, **shape, "dtype": "bf16", "kv_dtype": "fp8",
         "tokens": "1024"},
        {"op": "moe", **empty, **experts, "dtype": "float8", "tokens": "64"},
        {"op": "moe", **empty, **experts, "dtype": "fp8", "tokens": "32768"},
        {"op": "all-reduce", **empty, "gpus": "8", "size_bytes": "1000000"},
    ]  # fmt: skip
    file = table(tmp_path / "k.csv", *rows)
    found = list(csv.DictReader(io.StringIO(invoke("kernels", "--gpu", "H100", file).stdout)))
    assert [row["op"] for row in found] == [row["op"] for row in rows]
    times = [float(row["time_s"]) for row in found]
    assert all(4e-6 < time < 0.1 for time in times)
    assert times[1] == pytest.approx(68e-6, rel=0.1)  # as measured
    assert times[3] == pytest.approx(93e-6, rel=0.1)
    errors = [row["expected_error"] for row in found]
    assert errors[0] == ""
    assert all(0.02 < float(error) < 0.2 for error in errors[1:])
    assert [row["basis"] for row in found[:4]] == [""] * 4
    assert found[4]["basis"] == "num_tokens 32768 is outside of 1 to 16384"
    answers = json.loads(invoke("kernels", "--gpu", "l40s", file, "--json").stdout)
    assert answers[1]["kv_tokens"] == 2048
    assert answers[1]["basis"].startswith("constants of another GPU (attention-decode h100-sxm")


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("op,gpus,size_bytes", "allreduce,8,4096", "2: column 'op': unknown operation 'allreduce'"),
        ("op,gpus", "all-reduce,8", "needs the columns gpus, size_bytes; size_bytes is not"),
        ("op,gpus,size_bytes", "all-reduce,1,4096", "2: an all-reduce needs at least 2 GPUs"),
        (
            "op,kv_dtype,n_q,n_kv,head_dim,batch,kv_tokens", "attention-decode,bf16,32,5,128,1,1",
            "2: 5 KV heads do not divide 32 query heads",
        ),
        (
            "op,kv_dtype,n_q,n_kv,head_dim,batch,kv_tokens", "attention-decode,bf17,32,8,128,1,1",
            "2: column 'kv_dtype': unknown precision 'bf17'",
        ),
        (
            "op,dtype,tokens,hidden,ffn,experts,experts_per_token,tensor_parallel,expert_parallel,"
            "routing",
            "moe,fp4,1,4096,14336,8,2,1,1,balanced",
            "2: unknown kernel of experts 'fp4' (did you mean 'fp8'?)",
        ),
        (
            "op,dtype,tokens,hidden,ffn,experts,experts_per_token,tensor_parallel,expert_parallel,"
            "routing",
            "moe,fp8,1,4096,14336,8,2,3,1,balanced", "2: tensor_parallel 3 does not divide ffn",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_operation_is_told(
    tmp_path: Path, header: str, row: str, message: str
) -> None:
    file = tmp_path / "k.csv"
    file.write_text(f"{header}\n{row}\n")
    result = invoke("kernels", "--gpu", "h100-sxm", str(file))
    assert message in str(result.exception)


def test_a_stack_is_resolved_and_its_error_class_is_in_the_answer(tmp_path: Path) -> None:
    plan = PLAN | {"llm": "qwen3-32b", "precision": "bf16", "tensor_parallel": "2"}
    file = table(tmp_path / "q.csv", plan | {"stack": "vllm-0.12"}, plan | {"stack": ""})
    seen, pooled = json.loads(invoke("serving", "--file", file, "--json").stdout)
    assert (seen["stack"], seen["error_class"]) == ("vllm-0.12-bf16", "seen stack")
    assert (pooled["stack"], pooled["error_class"]) == ("pooled", "unseen stack")
    assert 0 < seen["tpot_error"] < pooled["tpot_error"] < pooled["tpot_error_p90"]
    assert seen["tpot_p50_s"] != pooled["tpot_p50_s"]
    assert seen["outside_calibration"] == ""
    rows = list(csv.DictReader(io.StringIO(invoke("serving", "--file", file).stdout)))
    assert float(rows[0]["ttft_error"]) == seen["ttft_error"]


def test_an_unknown_stack_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    file = table(tmp_path / "q.csv", PLAN | {"stack": "vllm-inferencx"})
    message = str(invoke("serving", "--file", file).exception)
    assert "q.csv:2: column 'stack': unknown stack 'vllm-inferencx'" in message
    assert "did you mean 'vllm-inferencex'?" in message
