"""Fit the sources of data/workloads to the Azure traces; run once, the product does not need it.

    python tools/fit_workloads.py FOLDER_WITH_TRACES

reads azure_llm_2023_conv.csv and azure_llm_2023_code.csv there and writes
data/workloads/synthetic-chat.json and synthetic-code.json. Lengths are copied as quantiles and a
grid of joint ranks. The arrival process is a Poisson process whose rate moves in segments; their
durations and rates are tables read from the trace, and only the spread of the rates is tuned, by
bisection on the dispersion of counts at 60 s that the published facts state.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sim.rng import generator
from sim.workload.arrivals import arrivals, exponential_gaps, modulated
from sim.workload.copies import on_grid
from sim.workload.segments import Block, Segments, State, table_mean
from sim.workload.traces import read_trace

GRID = 20
SOURCE = {
    "id": "azure-llm-2023",
    "title": "Azure LLM inference traces 2023 ({kind}), AzurePublicDataset",
    "address": "https://github.com/Azure/AzurePublicDataset",
    "commit": "b469a113",
    "file": "data/AzureLLMInferenceTrace_{kind}.csv",
    "licence": "CC-BY-4.0",
    "cite": "P. Patel et al., Splitwise: Efficient Generative LLM Inference Using Phase "
    "Splitting, ISCA 2024",
}


def probabilities() -> np.ndarray:
    """Every quarter of a per cent, and finer in both tails."""
    tail = [0.0005, 0.001, 0.0015, 0.002]
    return np.unique(np.round([*np.arange(401) / 400, *tail, *(1 - np.asarray(tail))], 6))


def joint_grid(a: np.ndarray, b: np.ndarray) -> list[list[int]]:
    """Counts in GRID by GRID bins of rank; equal lengths share bins at random."""
    rng = generator(0, "tools/fit_workloads/ties")
    bins = []
    for column in (a, b):
        rank = np.empty(len(column), dtype=np.int64)
        rank[np.lexsort((rng.random(len(column)), column))] = np.arange(len(column))
        bins.append(rank * GRID // len(column))
    grid = np.zeros((GRID, GRID), dtype=np.int64)
    np.add.at(grid, tuple(bins), 1)
    return grid.tolist()


def lengths(a: np.ndarray, b: np.ndarray) -> dict[str, object]:
    p = probabilities()
    return {
        "mark": "read",
        "note": "linear quantiles at each probability; joint[i][j] counts the requests whose input "
        f"rank is in bin i and output rank in bin j of {GRID} equal bins",
        "probabilities": p.tolist(),
        "input_tokens": np.round(np.quantile(a, p), 1).tolist(),
        "output_tokens": np.round(np.quantile(b, p), 1).tolist(),
        "joint": joint_grid(a, b),
    }


def dispersion(times: np.ndarray, span_s: float, bin_s: float) -> float:
    counts = np.histogram(times, np.arange(0.0, span_s + 1e-9, bin_s))[0]
    return float(counts.var() / counts.mean())


def stratified(rng: np.random.Generator, states: tuple[State, ...], visits: int) -> Segments:
    """One copy as ``sim.workload.copies.Copies`` draws it, but from the day's own stream."""
    bins = np.arange(visits)

    def evenly(table: np.ndarray) -> np.ndarray:
        rank = (rng.permutation(bins) + rng.random(visits)) / visits
        return np.interp(rank, np.linspace(0.0, 1.0, len(table)), table)

    def blocks() -> Iterator[Block]:
        while True:
            durations = np.stack([evenly(state.duration_s) for state in states], axis=1)
            multiples = np.stack([evenly(state.rate_multiple) for state in states], axis=1)
            scale = durations.sum() / (durations * multiples).sum()
            yield durations.ravel(), on_grid(multiples.ravel() * scale)

    turn_s = sum(table_mean(state.duration_s) for state in states)
    return Segments(blocks(), -float(rng.random()) * turn_s * visits, turn_s / len(states))


def day(states: tuple[State, ...], visits: int, rate: float, seed: int) -> np.ndarray:
    rng = generator(seed, "tools/fit_workloads")
    pieces = modulated(stratified(rng, states, visits), rate, ())
    return np.concatenate(list(arrivals(pieces, exponential_gaps(rng), 86_400.0)))


def spread_to(target: float, make, visits: int, rate: float, low: float, high: float) -> float:
    """The spread at which a simulated day's dispersion at 60 s, averaged over 6 seeds, is right."""
    for _ in range(14):
        middle = (low + high) / 2
        got = np.mean(
            [dispersion(day(make(middle), visits, rate, s), 86_400.0, 60.0) for s in range(6)]
        )
        low, high = (middle, high) if got < target else (low, middle)
    return (low + high) / 2


def quantiles(values: np.ndarray, points: int, digits: int) -> np.ndarray:
    return np.round(np.quantile(values, np.linspace(0, 1, points)), digits)


def chat_states(times: np.ndarray, spread: float) -> tuple[State, ...]:
    """One state: the rate of five minutes at a time, its spread stretched about 1."""
    counts = np.histogram(times, np.arange(0.0, 3300.1, 300.0))[0]
    multiples = quantiles(counts / counts.mean(), 7, 3)
    stretched = 1.0 + (multiples - 1.0) * spread
    return (State(np.array([200.0, 400.0]), np.round(stretched, 4)),)


def code_states(times: np.ndarray, spread: float) -> tuple[State, ...]:
    """Bursts, parted where nothing arrives for 5 s, and the silences between them."""
    gaps = np.diff(times)
    cuts = np.flatnonzero(gaps > 5.0)
    starts, ends = np.r_[0, cuts + 1], np.r_[cuts, len(times) - 1]
    on_s = times[ends] - times[starts]
    sizes = ends - starts + 1
    long = on_s > 1.0
    rates = sizes[long] / on_s[long]
    multiples = (rates / rates.mean()) ** spread
    return (
        State(quantiles(on_s, 13, 2), np.round(quantiles(multiples, 13, 6), 4)),
        State(quantiles(gaps[cuts], 13, 2), np.array([0.0])),
    )


def fit(kind: str, folder: Path, *, make, visits: int, about: str, low: float, high: float) -> dict:
    table = read_trace(folder / f"azure_llm_2023_{kind}.csv", "azure")
    t, a, b = table.arrival_s, table.input_tokens, table.output_tokens
    span = float(t[-1])
    rate = (len(t) - 1) / span
    target = dispersion(t, span, 60.0)
    spread = spread_to(target, lambda s: make(t, s), visits, rate, low, high)
    states = make(t, spread)
    simulated = [day(states, visits, rate, 100 + seed) for seed in range(8)]
    for bin_s in (0.1, 1.0, 10.0, 60.0, 300.0, 600.0):
        got = [dispersion(times, 86_400.0, bin_s) for times in simulated]
        print(kind, f"{bin_s:g} s: trace {dispersion(t, span, bin_s):.3f}, fitted "
              f"{min(got):.3f} to {max(got):.3f}")  # fmt: skip
    rates = [len(times) / 86_400.0 for times in simulated]
    print(
        kind, "spread", round(spread, 4), "rate", round(rate, 5), "fitted", min(rates), max(rates)
    )
    cv = [float(np.diff(times).std() / np.diff(times).mean()) for times in simulated]
    print(
        kind, "inter-arrival CV", np.diff(t).std() / np.diff(t).mean(), "fitted", min(cv), max(cv)
    )
    levels = [1, 5, 10, 25, 50, 75, 90, 95, 99]
    return {
        "name": f"synthetic-{'chat' if kind == 'conv' else 'code'}",
        "about": about,
        "sources": [{key: value.format(kind=kind) for key, value in SOURCE.items()}],
        "facts": {
            "mark": "read",
            "requests": len(t),
            "duration_s": round(span, 1),
            "rate_per_s": round(rate, 3),
            "inter_arrival_cv": round(float(np.diff(t).std() / np.diff(t).mean()), 3),
            "dispersion_1s": round(dispersion(t, span, 1.0), 2),
            "dispersion_60s": round(target, 1),
            "spearman": round(spearman(a, b), 3),
            "input_tokens_mean": round(float(a.mean()), 1),
            "output_tokens_mean": round(float(b.mean()), 1),
            "input_tokens": {f"p{q}": round(float(np.percentile(a, q)), 1) for q in levels},
            "output_tokens": {f"p{q}": round(float(np.percentile(b, q)), 1) for q in levels},
        },
        "arrivals": {
            "mark": "assumed",
            "note": "a Poisson process whose rate moves in segments: the states come in turn, each "
            "visit with a duration and a rate multiple read from the state's evenly spaced "
            "quantiles, drawn evenly over blocks of `visits` turns; durations and multiples are "
            "read from the trace, the spread of the multiples is tuned to its dispersion at 60 s",
            "rate_per_s": round(rate, 4),
            "visits": visits,
            "states": [
                {"duration_s": s.duration_s.tolist(), "rate_multiple": s.rate_multiple.tolist()}
                for s in states
            ],
        },
        "lengths": lengths(a, b),
    }  # fmt: skip


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    ranks = []
    for column in (a, b):
        _, inverse, counts = np.unique(column, return_inverse=True, return_counts=True)
        ranks.append((np.cumsum(counts) - (counts - 1) / 2)[inverse])
    return float(np.corrcoef(*ranks)[0, 1])


def write(file: Path, content: dict[str, object]) -> None:
    """JSON with one line for each array of numbers, so that a reader and a diff can follow it."""
    text = json.dumps(content, indent=1)
    short = []
    depth_open = ""
    for line in text.splitlines():
        body = line.strip()
        if depth_open:
            depth_open += body if body.startswith("]") else body + " "
            if body.startswith("]"):
                short.append(depth_open.replace(" ]", "]"))
                depth_open = ""
            elif body in ("[", "{"):
                short.append(depth_open[: -len(body) - 1].rstrip())
                depth_open = line if body == "[" else ""
                if body == "{":
                    short.append(line)
        elif line.endswith("["):
            depth_open = line
        else:
            short.append(line)
    file.write_text("\n".join(short) + "\n", encoding="utf-8")
    assert json.loads(file.read_text(encoding="utf-8")) == json.loads(text)


def main() -> None:
    folder = Path(sys.argv[1])
    out = Path(__file__).resolve().parents[1] / "data" / "workloads"
    chat = fit(
        "conv", folder, make=chat_states, visits=12, low=0.5, high=2.0,
        about="Chat: medium prompts, answers of some hundred tokens, load that swings slowly over "
        "minutes and is near Poisson within them.",
    )  # fmt: skip
    code = fit(
        "code", folder, make=code_states, visits=16, low=0.3, high=3.0,
        about="Code completion: long prompts up to a context cap, short answers, bursts of some "
        "ten seconds between silences of up to minutes.",
    )  # fmt: skip
    for content in (chat, code):
        write(out / f"{content['name']}.json", content)


if __name__ == "__main__":
    main()
