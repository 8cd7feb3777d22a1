"""The example of docs/mix.md is sound."""

from __future__ import annotations

from pathlib import Path

from sim.plan.mix.points import load_mix
from tests.unit.test_documents import ROOT, blocks


def test_the_example_mix_checks(tmp_path: Path) -> None:
    (study,) = blocks("docs/mix.md", "yaml")
    base = ROOT / "scenarios" / "quickstart.yaml"
    (tmp_path / base.name).write_text(base.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "mix.yaml").write_text(study, encoding="utf-8")
    mix = load_mix(tmp_path / "mix.yaml")
    assert [choice.text for choice in mix.mixes.choices[0]] == [
        f"tensor_parallel {degree} on {rack}"
        for rack in ("dgx-h100-4", "dgx-b200-2")
        for degree in (2, 4)
    ]
    assert mix.mixes.limits.power_w == 130e3
    assert mix.mixes.limits.racks == 6
    assert mix.spec.runs == 400
    assert len(mix.seeds) == 16
