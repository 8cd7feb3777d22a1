"""Write scenarios/polca-day.csv, the day of scenarios/polca-row.yaml; run once.

    python tools/polca_day.py FOLDER_WITH_TRACES

reads azure_llm_2023_conv.csv there. A step of each minute: 1 − 0.35·(1 − cos(2π(t − 14 h)/24 h)) at
the middle of the minute, times the minute's factor. The factors are the requests in each of the
trace's 58 whole minutes over their cubic trend, one after the other through the day, again and
again.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from sim.workload.traces import read_trace

SWING, PEAK_H, DAY_MIN = 0.35, 14.0, 1440


def factors(arrival_s: np.ndarray) -> np.ndarray:
    """[58] requests of each whole minute over the cubic trend through them."""
    minutes = int(arrival_s[-1] // 60)
    counts = np.histogram(arrival_s, np.arange(minutes + 1) * 60.0)[0]
    place = np.linspace(-1.0, 1.0, minutes)
    return counts / np.polyval(np.polyfit(place, counts, 3), place)


def day(factor: np.ndarray) -> np.ndarray:
    """[1440] multiples of the peak rate."""
    hour = (np.arange(DAY_MIN) + 0.5) / 60.0
    swing = 1.0 - SWING * (1.0 - np.cos(2.0 * np.pi * (hour - PEAK_H) / 24.0))
    return swing * factor[np.arange(DAY_MIN) % len(factor)]


def main() -> None:
    table = read_trace(Path(sys.argv[1]) / "azure_llm_2023_conv.csv", "azure")
    out = Path(__file__).resolve().parents[1] / "scenarios" / "polca-day.csv"
    rows = [f"{60 * i},{times:.4f}" for i, times in enumerate(day(factors(table.arrival_s)))]
    out.write_text("from_s,times\n" + "\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
