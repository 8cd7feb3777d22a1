"""``rackplan predict``: how fast a kernel or a replica would be, without a site or a scenario."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sim.cli.predict_ops import has_ops, time_ops
from sim.cli.predict_table import Table, TableRow, read_table
from sim.errors import RackplanError, UnknownName

if TYPE_CHECKING:
    from sim.catalog.types import Gpu, Llm
    from sim.engine.predict import Prediction, ServingQuery
    from sim.perf.silicon import Silicon

predict_app = typer.Typer(
    name="predict",
    help="Predict a kernel's time or a replica's speed and draw, without a site.",
    no_args_is_help=True,
)

_KERNEL_COLUMNS = ("dtype", "m", "n", "k")
_KERNEL_ANSWER = ("time_s", "time_p10_s", "time_p90_s", "predicted_error", "predicted_note")
_SERVING_COLUMNS = (
    "llm", "gpu", "precision", "tensor_parallel", "input_tokens", "output_tokens", "concurrency",
)  # fmt: skip
_SERVING_OPTIONS = (
    "pipeline_parallel", "kv_precision", "max_sequences", "max_batch_tokens", "length_spread",
    "stack", "silicon", "silicon_version",
)  # fmt: skip


#: Said where neither a stack nor a spread of lengths is stated.
_LOCKSTEP = (
    "lengths that are all but equal keep clients in step, which decides the TTFT: state "
    "--length-spread, or the --stack whose runs are meant"
)


@predict_app.command()
def kernels(
    file: Annotated[
        Path, typer.Argument(help="CSV with columns dtype, m, n, k, or op and what each op needs.")
    ],
    gpu: Annotated[str, typer.Option(help="GPU of the catalog, such as h100-sxm.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of CSV.")] = False,
) -> None:
    """Print the rows of a CSV of matrix products with their time and its expected error added.

    Each product is one of m x k by k x n on one GPU, isolated: its launch is included, and the
    quantisation of its activations where the dtype has less than 16 bits. error is the relative
    error that half of the measured kernels of like m stayed below when their shape was held out of
    the fit; about eight of ten were between time_p10_s and time_p90_s. note says where a time is
    an extrapolation, or uses another GPU's or dtype's constants. With a column op, rows
    may also be attention-decode, attention-prefill, moe or all-reduce, with columns of their own.
    """
    from sim.catalog.library import load
    from sim.perf.kernels import kernel_time

    catalog = load()
    device = catalog.gpus[catalog.canonical("gpu", gpu)]
    if has_ops(file):
        _print_rows(*time_ops(file, device, as_json), as_json)
        return
    table = read_table(file, _KERNEL_COLUMNS, None, added=_KERNEL_ANSWER)
    names = _free_names(table)
    added: list[dict[str, object]] = []
    for row in table.rows:
        m, n, k = (row.whole(name) for name in ("m", "n", "k"))
        # A CSV's cells pass through as they stand; JSON tells numbers from text.
        numbers = {"m": m, "n": n, "k": k} if as_json else {}
        dtype = row.word("dtype")
        with row.at("dtype"):
            precision = catalog.canonical("precision", dtype)
            time = kernel_time(device, dtype, precision, m, n, k)
        added.append({**numbers, **{names[key]: value for key, value in asdict(time).items()}})
    _print_rows(table, added, as_json)


@predict_app.command()
def serving(
    llm: Annotated[str | None, typer.Option(help="LLM of the catalog.")] = None,
    gpu: Annotated[str | None, typer.Option(help="GPU of the catalog.")] = None,
    precision: Annotated[str | None, typer.Option(help="Of the weights: bf16, fp8, …")] = None,
    tensor_parallel: Annotated[int | None, typer.Option(help="GPUs per pipeline stage.")] = None,
    input_tokens: Annotated[int | None, typer.Option(help="Tokens of every prompt.")] = None,
    output_tokens: Annotated[int | None, typer.Option(help="Tokens of every answer.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Clients in a closed loop.")] = None,
    pipeline_parallel: Annotated[
        int | None, typer.Option(help="Pipeline stages, kept full.")
    ] = None,
    kv_precision: Annotated[str | None, typer.Option(help="Of the KV cache.")] = None,
    max_sequences: Annotated[int | None, typer.Option(help="Running sequences at most.")] = None,
    max_batch_tokens: Annotated[int | None, typer.Option(help="Tokens per iteration.")] = None,
    length_spread: Annotated[
        float | None,
        typer.Option(help="Lengths vary by this share about their means (as the stack's runs)."),
    ] = None,
    stack: Annotated[
        str | None,
        typer.Option(help="Serving stack, such as vllm-0.12 (rackplan catalog stack); or pooled."),
    ] = None,
    silicon: Annotated[
        str | None,
        typer.Option(help="Step times from aiconfigurator-core: trtllm, sglang or vllm."),
    ] = None,
    silicon_version: Annotated[
        str | None, typer.Option(help="Version of that backend; default: the current one.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="CSV with these options as columns, underscored.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Predict throughput, latency and draw of one replica under a closed loop of like requests.

    Every client starts at once and sends its next request when the last one ends. Lengths vary as
    in the runs of the stack (InferenceX draws from 0.8 to 1 of the stated ones); with
    --length-spread the stated ones are the means, and 0 keeps all requests in lockstep.
    Clients are at the replica: no path between user and pool (workload.path) is in the times.
    """
    given = {
        "llm": llm, "gpu": gpu, "precision": precision, "tensor_parallel": tensor_parallel,
        "input_tokens": input_tokens, "output_tokens": output_tokens, "concurrency": concurrency,
        "pipeline_parallel": pipeline_parallel, "kv_precision": kv_precision,
        "max_sequences": max_sequences, "max_batch_tokens": max_batch_tokens,
        "length_spread": length_spread, "stack": stack, "silicon": silicon,
        "silicon_version": silicon_version,
    }  # fmt: skip
    stated = {name: str(value) for name, value in given.items() if value is not None}
    if file is None:
        missing = [f"--{n.replace('_', '-')}" for n in _SERVING_COLUMNS if n not in stated]
        if missing:
            raise RackplanError(f"predict serving needs {', '.join(missing)} (or --file CSV)")
        _print_one(_predict([TableRow("predict serving", 0, stated)])[0], as_json)
        if not as_json and stack is None and length_spread is None:
            print(f"Warning: {_LOCKSTEP}")
        return
    if stated:
        raise RackplanError(
            f"--file has these as columns: drop --{next(iter(stated)).replace('_', '-')}"
        )
    table = read_table(file, _SERVING_COLUMNS, _SERVING_OPTIONS)
    answers = [flat(answer) for answer in _predict(table.rows)]
    if as_json:
        print(json.dumps(answers, indent=2))
    else:
        _print_rows(table, answers, as_json=False)


def _free_names(table: Table) -> dict[str, str]:
    """What the fields of a ``KernelTime`` are called beside the table's own columns."""
    from sim.perf.kernels import KernelTime

    names = {field.name: field.name for field in fields(KernelTime)}
    taken = [name for name in ("error", "note") if name in table.columns]
    return names | {name: f"predicted_{name}" for name in taken}


def _predict(rows: tuple[TableRow, ...] | list[TableRow]) -> list[Prediction]:
    """Predicts each row; replicas that several rows share are modelled once."""
    from sim.engine.predict import Predictor

    predictor = Predictor()
    answers: list[Prediction] = []
    for row in rows:
        llm, gpu, query = _query(row)
        try:
            answers.append(predictor.serving(llm, gpu, query))
        except RackplanError as error:
            raise row.blame(error) from error
    return answers


def _query(row: TableRow) -> tuple[Llm, Gpu, ServingQuery]:
    """What a row asks for, its names resolved; every mistake is said of its column."""
    from sim.catalog.library import load
    from sim.engine.predict import ServingQuery
    from sim.perf.operators import arithmetic
    from sim.perf.stacks import POOLED, stack_named

    catalog = load()
    name = row.word("llm")
    with row.at("llm"):
        if name not in catalog.llms:
            raise UnknownName("LLM", name, catalog.llms)
    llm = catalog.llms[name]
    word = row.word("gpu")
    with row.at("gpu"):
        gpu = catalog.gpus[catalog.canonical("gpu", word)]
    word = row.word("precision")
    with row.at("precision"):
        precision = catalog.canonical("precision", word)
        arithmetic(llm, gpu, precision)  # refuses what this GPU cannot compute
    kv = row.optional("kv_precision")
    with row.at("kv_precision"):
        kv_precision = catalog.canonical("precision", kv) if kv else None
    numbers = {name: row.whole(name) for name in _SERVING_COLUMNS[3:]}
    for name in ("pipeline_parallel", "max_sequences", "max_batch_tokens"):
        if row.optional(name) is not None:
            numbers[name] = row.whole(name)
    spread = row.number("length_spread") if row.optional("length_spread") else None
    word = row.optional("stack") or POOLED
    with row.at("stack"):
        stack = stack_named(word, precision).name
    silicon = _silicon(row)
    query = ServingQuery(
        precision=precision, kv_precision=kv_precision, length_spread=spread, stack=stack,
        silicon=silicon, **numbers,
    )  # fmt: skip
    return llm, gpu, query


def _silicon(row: TableRow) -> Silicon | None:
    """Whose step times a row asks for."""
    from sim.perf.silicon import silicon_named

    backend, version = row.optional("silicon"), row.optional("silicon_version")
    if backend is None:
        if version is not None:
            raise row.fail("silicon_version", "has no effect without silicon")
        return None
    if row.optional("stack") is not None:
        raise row.fail("stack", "was fitted beside other kernels: drop one of silicon and stack")
    with row.at("silicon"):
        return silicon_named(backend, version)


def _print_rows(table: Table, added: list[dict[str, object]], as_json: bool) -> None:
    """The table's rows with the added columns, on stdout."""
    rows = [{**row.values, **extra} for row, extra in zip(table.rows, added, strict=True)]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    new = list(added[0]) if added else []
    writer = csv.DictWriter(sys.stdout, [*table.columns, *new], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _print_one(answer: Prediction, as_json: bool) -> None:
    from sim.units import format_si

    if as_json:
        print(json.dumps(flat(answer), indent=2))
        return
    if not answer.fits:
        print(answer.message)
        return
    for label, value, unit in (
        ("output", answer.output_tokens_per_s, "tokens/s"),
        ("TTFT, median", answer.ttft_p50_s, "s"),
        ("TTFT, mean", answer.ttft_mean_s, "s"),
        ("TPOT, median", answer.tpot_p50_s, "s"),
        ("draw per GPU", answer.gpu_draw_w, "W"),
    ):
        print(f"{label:<14}{'none' if value is None else format_si(value, unit)}")
    if answer.expected is not None:
        whose = answer.estimator or f"{answer.stack} stack"
        print(f"Expected error, {whose}: {answer.expected.sentence()}")
        for outside in answer.expected.outside:
            print(f"Warning: outside the calibrated region: {outside}")


def flat(answer: Prediction) -> dict[str, object]:
    """The answer as columns: its error class spread out."""
    from sim.perf.expected import METRICS

    row = asdict(answer)
    del row["expected"], row["estimator"]
    row["stack"] = answer.estimator or answer.stack
    expected = answer.expected
    row["error_class"] = None if expected is None else expected.kind
    for name in METRICS:
        for i, column in enumerate(("error", "error_p90")):
            row[f"{name}_{column}"] = None if expected is None else expected.errors[name][i]
    row["outside_calibration"] = None if expected is None else "; ".join(expected.outside)
    return row
