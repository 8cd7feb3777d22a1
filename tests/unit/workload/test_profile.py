"""Daily profiles from CSV files, and what is refused of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sim
from sim.errors import DataError
from sim.paths import share
from sim.workload.profile import read_profile


def written(folder: Path, text: str) -> Path:
    file = folder / "day.csv"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_file_is_the_same_as_its_steps(tmp_path: Path) -> None:
    file = written(tmp_path, "from_s,times\n0,0.5\n3600,2\n7200,0\n")
    assert read_profile(file, "day.csv") == ((0.0, 0.5), (3600.0, 2.0), (7200.0, 0.0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "day.csv: is empty; expected a header from_s,times"),
        ("from_s,times\n", "day.csv: has no row below its head"),
        ("from_s,times\n0,1\n0,2\n", "day.csv:3: from_s: times of day must ascend"),
        ("from_s,times\n86400,1\n", "day.csv:2: from_s: 86400 is not from 0 to 86400 s"),
        ("from_s,times\n0,-1\n", "day.csv:2: times: -1 is negative"),
        ("from_s,times\n0,x\n", "day.csv:2: times: 'x' is not a finite number"),
        ("from_s,times\n0,0\n", "day.csv: every multiple is 0, so no request would ever arrive"),
        ("from_s,time\n0,1\n", "day.csv:1: column 'times' is missing (is it 'time'?)"),
    ],
)
def test_refusals(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_profile(written(tmp_path, text), "day.csv")
    assert str(caught.value) == message


def test_the_day_of_the_row_is_made_of_the_facts_it_names(shared_data: Path) -> None:
    """The shipped file is what ``tools/polca_day.py`` makes of the trace."""
    steps = read_profile(share("scenarios") / "polca-day.csv", "polca-day.csv")
    scenario = sim.load_scenario(share("scenarios") / "polca-row.yaml")
    assert all(
        workload.synthetic is not None and workload.synthetic.profile == steps
        for workload in scenario.workloads
    )
    trace = (shared_data / "traces" / "azure_llm_2023_conv.csv").read_text().splitlines()[1:]
    seconds = [
        3600 * int(line[11:13]) + 60 * int(line[14:16]) + float(line[17:26]) for line in trace
    ]
    counts = np.histogram(np.array(seconds) - seconds[0], 60.0 * np.arange(59))[0]
    minute = np.arange(58.0)
    factors = counts / np.polyval(np.polyfit(minute, counts, 3), minute)
    for place in (0, 57, 58, 840, 1439):
        hour = (place + 0.5) / 60.0
        swing = 1.0 - 0.35 * (1.0 - np.cos(2.0 * np.pi * (hour - 14.0) / 24.0))
        assert steps[place][0] == 60.0 * place
        assert steps[place][1] == pytest.approx(swing * factors[place % 58], abs=1e-4)
