"""Seeds in words and in names of folders."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sim.results.folders import run_folder_name


def seeds_in_words(seeds: Collection[int]) -> str:
    """``seed 3``, ``seeds 1 to 4``, ``seeds 1, 3 and 5 to 8``."""
    runs: list[list[int]] = []
    for seed in sorted(seeds):
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    parts = [
        part
        for run in runs
        for part in ([f"{run[0]} to {run[-1]}"] if len(run) > 2 else [str(seed) for seed in run])
    ]
    text = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"seed {text}" if len(seeds) == 1 else f"seeds {text}"


def seeds_folder_name(name: str, resolved: Mapping[str, Any], seeds: Collection[int]) -> str:
    """``<scenario>-<hash8>-s<first>-<last>``, beside the folders of its runs."""
    return f"{run_folder_name(name, resolved, min(seeds))}-{max(seeds)}"
