"""A small study, whose base is ``works.TINY``, for tests."""

from __future__ import annotations

from pathlib import Path

from tests.unit.study.works import scenario_file

SMALL = """
rackplan: 1
kind: study
name: small
base: tiny.yaml
axes:
  pools[chat].replicas: {from: 1, to: 2, step: 1}
  load:
    - label: low
      set:
        workload[chat].rate: 4 /s
    - label: high
      set:
        workload[chat].rate: 8 /s
        drain: 60 s
seeds: 2
metrics: [chat.e2e_p50, chat.goodput_fraction, peak_draw_w]
probabilities: ["arrivals > 40", "chat.goodput_fraction >= 0"]
baseline:
  set:
    pools[chat].replicas: 2
"""


def study_file(folder: Path, text: str = SMALL) -> Path:
    """A study of four points, of which two are their own baseline."""
    scenario_file(folder)
    file = folder / "small.yaml"
    file.write_text(text)
    return file
