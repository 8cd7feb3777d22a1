"""Every number of the shipped data is sourced; broken copies are refused with their line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sim import catalog, paths
from sim.catalog.library import load
from sim.errors import DataError, UnknownName
from sim.perf import calibration
from sim.perf.collectives import constants
from sim.site.load import loss_in_mw, server_out_mw
from sim.validate.points import shipped
from sim.workload import fitted_source, synthetic_names

EVERY = [(kind, name) for kind in catalog.KINDS for name in catalog.names(kind)]


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_every_number_has_unit_source_licence_and_mark(kind: str, name: str) -> None:
    shown = catalog.entry(kind, name)
    assert shown.file.startswith("data/")
    for field in shown.fields:
        if field.value is None and not field.numbers:
            continue
        assert field.source is not None, field.key
        assert field.source.licence, field.key
        assert field.source.address, field.key
        assert field.mark in ("read", "assumed"), field.key
        # A number of our own must say how it was made, unless its entry's other numbers do.
        if field.source.id == "own" and kind not in ("gear", "breaker"):
            assert field.note, f"{name}: {field.key} is our own and says nothing"
    if kind == "breaker":
        assert any(field.note for field in shown.fields)


def test_no_source_is_unused() -> None:
    used = {
        field.source.id
        for kind, name in EVERY
        for field in catalog.entry(kind, name).fields
        if field.source is not None
    }
    for workload in synthetic_names():
        used |= {source["id"] for source in fitted_source(workload).facts["sources"]}
    used.update(calibration.source_ids())
    used.update(constants.source_ids())
    used.update(shipped().sources)
    assert used == set(load().sources)


def test_readme_names_every_source() -> None:
    text = paths.data("README.md").read_text(encoding="utf-8")
    missing = [source for source in load().sources if f"`{source}`" not in text]
    assert missing == []


def test_readme_counts_what_was_read() -> None:
    nouns = {"gpu": "GPUs", "node": "servers", "rack": "racks", "llm": "LLMs",
             "gear": "loss curves", "breaker": "breakers", "ups": "UPSs",
             "precision": "precisions", "plant": "cooling plants",
             "measured": "tables of steps", "switch": "network switches", "link": "links",
             "superpod": "published clusters",
             "price": "prices of servers", "cost": "tables of costs"}  # fmt: skip
    counts = []
    for kind, noun in nouns.items():
        entries = [catalog.entry(kind, name) for name in catalog.names(kind)]
        marks = [
            field.mark
            for entry in entries
            for field in entry.fields
            for _ in field.numbers or [field.value]
            if field.value is not None or field.numbers
        ]
        counts.append(f"{marks.count('read')} of {len(marks)} numbers of {len(entries)} {noun}")
    line = f"Read so far: {', '.join(counts)}."
    assert line in paths.data("README.md").read_text(encoding="utf-8").splitlines()


def test_source_ids_reach_down_to_the_gpu_and_its_supply() -> None:
    ids = catalog.source_ids("rack", "dgx-h100-4")
    assert list(ids) == sorted(ids)
    for kind, name in (("node", "dgx-h100"), ("gpu", "h100-sxm"), ("gear", "psu-titanium")):
        assert set(catalog.source_ids(kind, name)) <= set(ids)


@pytest.mark.parametrize("name", catalog.names("node"))
def test_full_draw_is_the_nameplate(name: str) -> None:
    node = catalog.node_type(name)
    tdp_mw = round(node.gpus * catalog.gpu(node.gpu).tdp_w * 1000)
    drawn_w = loss_in_mw(server_out_mw(node, tdp_mw), node.psu) / 1000
    assert drawn_w == pytest.approx(node.max_w, rel=0.005)


@pytest.mark.parametrize(
    ("name", "watts"),
    [("dgx-a100", 6500), ("dgx-h100", 10_200), ("dgx-h200", 10_200), ("dgx-b200", 14_300)],
)
def test_published_nameplates(name: str, watts: float) -> None:
    assert catalog.node_type(name).max_w == watts


def test_a_full_nvl72_draws_what_is_published() -> None:
    rack = catalog.rack_type("gb200-nvl72")
    node = catalog.node_type(rack.node_type)
    assert rack.nodes * node.gpus == 72
    assert rack.nvlink_domain == "rack"
    assert rack.nodes * node.max_w == pytest.approx(120e3, rel=0.01)


@pytest.mark.parametrize(
    ("gear", "load", "efficiency"),
    [
        ("psu-titanium", 0.1, 0.90),
        ("psu-titanium", 0.2, 0.94),
        ("psu-titanium", 0.5, 0.96),
        ("ups", 0.5, 0.96),
        ("pdu", 0.5, 0.98),
    ],
)
def test_gear_meets_its_efficiency_points(gear: str, load: float, efficiency: float) -> None:
    out_mw = round(load * 100e6)
    in_mw = loss_in_mw(out_mw, catalog.gear_loss(gear, 100e3))
    assert out_mw / in_mw == pytest.approx(efficiency, abs=0.002)


def test_peaks_are_dense_and_double_with_half_the_bits() -> None:
    for name in catalog.names("gpu"):
        peak = catalog.gpu(name).peak_flops
        if "fp8" in peak:
            assert peak["fp8"] == pytest.approx(2 * peak["bf16"], rel=0.03)
        if "fp4" in peak:
            assert peak["fp4"] == pytest.approx(2 * peak["fp8"], rel=0.03)


def test_h100_peak_follows_from_its_tensor_cores() -> None:
    # 132 SMs x 4,096 FLOP per clock (dense bf16) x 1,830 MHz
    assert catalog.gpu("h100").peak_flops["bf16"] == pytest.approx(
        132 * 4096 * 2 * 0.915e9, rel=0.001
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A copy of the shipped data that a test may break."""
    copy = tmp_path / "data"
    shutil.copytree(paths.data(), copy)
    return copy


BROKEN = [
    ("hardware/gpus.yaml", "  tdp: 700 W\n", "", "gpu 'h100-sxm' lacks 'tdp'"),
    ("hardware/gpus.yaml", "tdp: 700 W", "tdp: 700", "'tdp': '700' has no unit"),
    ("hardware/gpus.yaml", "tdp: 700 W", "tdp: 700 Watt", "'tdp': '700 Watt' is not a power"),
    ("hardware/gpus.yaml", "tdp: 700 W", "tdb: 700 W", "unknown key 'tdb' (did you mean 'tdp'?)"),
    ("hardware/gpus.yaml", "tdp: 700 W", "tdp: -7 W", "'tdp' must not be negative"),
    ("hardware/gpus.yaml", "tdp: 700 W", "tdp: 100 W", "needs parked <= loaded_idle < tdp"),
    ("hardware/gpus.yaml", "tdp: 700 W", "tdp: 700 W\n  tdp: 1 W", "'tdp' is given twice"),
    ("hardware/gpus.yaml", "sms: 132", "sms: 13.2", "'sms' must be a whole number, not '13.2'"),
    ("hardware/gpus.yaml", "link: nvlink", "link: nvlnk", "(did you mean 'nvlink'?)"),
    ("hardware/gpus.yaml", "source: hmc-tech,", "source: hmc,", "unknown source 'hmc'"),
    ("hardware/gpus.yaml", "mark: read", "mark: red", "mark 'red' is neither read nor assumed"),
    ("hardware/gpus.yaml", "  source: glennklockwood-h100\n", "", "has no source"),
    ("hardware/nodes.yaml", "gpu: h100-sxm", "gpu: h100-sx", "unknown gpu 'h100-sx'"),
    ("hardware/racks.yaml", "rating: {value: 41.3 kW", "rating: {value: 40 kW", "40,800 W exceed"),
    ("hardware/racks.yaml", "node: dgx-h100\n", "node: dgx-h10\n", "unknown node type 'dgx-h10'"),
    ("hardware/aliases.yaml", "[h200,", "[h100,", "alias 'h100' stands for 'h100-sxm' already"),
    ("hardware/aliases.yaml", "l4: [", "l5: [", "'l5' is no GPU of the catalog"),
    ("llms/qwen3-8b.yaml", "heads: 32", "heads: 33", "kv_heads must divide heads"),
    ("llms/qwen3-8b.yaml", "qk_norm: true", "qk_norm: yes", "must be true or false, not 'yes'"),
    ("llms/gpt-oss-20b.yaml", "windowed_layers: 12", "windowed_layers: 0", "go together"),
    ("llms/deepseek-v3.yaml", "  rope_dim: 64\n", "", "llm 'deepseek-v3' lacks 'mla.rope_dim'"),
    ("power/gear.yaml", "b: 0.010", "b: many", "'b': 'many' is not a fraction"),
    ("sources.yaml", "licence: CC0-1.0", "licence: ''", "has an empty 'licence'"),
    ("sources.yaml", "  licence: CC0-1.0\n", "", "'licence' is missing"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "old", "new", "message"), BROKEN)
def test_broken_data(data: Path, file: str, old: str, new: str, message: str) -> None:
    path = data / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        load(data)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"data/{file}:{caught.value.line}: ")
    assert caught.value.line > 0


def test_a_missing_file_is_named(data: Path) -> None:
    (data / "hardware" / "racks.yaml").unlink()
    with pytest.raises(DataError, match=r"^data/hardware/racks.yaml: cannot be read"):
        load(data)


def test_text_that_is_not_yaml_is_named_with_its_line(data: Path) -> None:
    (data / "power" / "gear.yaml").write_text("ups:\n  a: [1\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"^data/power/gear.yaml:3: not YAML: "):
        load(data)


def test_a_copy_reads_like_the_original(data: Path) -> None:
    assert load(data).gpus == load().gpus


def test_entry_of_an_unknown_kind() -> None:
    with pytest.raises(UnknownName, match="unknown catalog kind 'cpu'"):
        catalog.entry("cpu", "grace")
