"""What a manifest says of where a run came from, as rows of tables."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from functools import cache
from typing import Any

from dashboard.load import RunView, View
from sim import paths
from sim.catalog.read import read_sources
from sim.catalog.records import Source
from sim.results.manifest import versions
from sim.results.placement_tables import EVERY_TABLE
from sim.results.wording import span
from sim.spec.written import yaml_of

Rows = list[dict[str, Any]]

_SIZES = {"full": "every request", "sampled": "one request in so many", "summary": "summaries only"}


@cache
def _sources() -> Mapping[str, Source]:
    return read_sources(paths.data("sources.yaml"), "data/sources.yaml")


def written_yaml(view: View) -> str | None:
    """The scenario as it was written, after ``extends`` and ``--set``; None: it was not kept."""
    tree = view.manifest.get("written")
    return yaml_of(tree) if isinstance(tree, Mapping) and tree else None


def resolved_yaml(view: View) -> str:
    """The scenario with all defaults stated and quantities in SI."""
    return yaml_of(view.manifest["resolved"])


def command(view: View, file: str) -> str:
    """The command that makes a run again from a scenario file."""
    engine = "" if view.engine not in ("reference",) else " --engine reference"
    return f"rackplan run {shlex.quote(file)} --seed {view.seed}{engine}"


def answer(view: View) -> str:
    """What ran, in a sentence."""
    if not isinstance(view, RunView):
        nodes, pods = view.manifest["nodes"], view.manifest["pods"]
        placed = f"{pods['count']:,} pods listed, {nodes['count']:,} nodes, {nodes['gpus']:,} GPUs"
        return f"{view.scenario} under seed {view.seed}: {placed}."
    gpus = int(view.manifest["site"]["gpus"])
    text = (
        f"{view.scenario} under seed {view.seed}: {span(view.simulated_s)} simulated of {gpus:,} "
        f"GPUs, measured from {span(view.warm_up_s)} to {span(view.end_s)}"
    )
    if view.outcome == "partial":
        return f"{text}; stopped before its end."
    return f"{text}, recorded: {_SIZES.get(view.record, view.record)}."


def version_rows(view: View) -> tuple[Rows, bool]:
    """Versions that made the run beside those here; whether all are the same."""
    made: Mapping[str, Any] = view.manifest["versions"]
    here = versions()
    rows = [
        {
            "what": _VERSION_WORDS.get(name, name),
            "made with": str(made.get(name, "–")),
            "here": here.get(name, "–"),
            "same": "✓" if str(made.get(name)) == here.get(name) else "✕",
        }
        for name in dict.fromkeys([*made, *here])
    ]
    return rows, all(row["same"] == "✓" for row in rows)


_VERSION_WORDS = {"code": "digest of code and data"}


def source_rows(view: View) -> Rows:
    """The data sources that the numbers of the run rest on, with their licences."""
    known = _sources()
    rows = []
    for name in view.manifest.get("sources") or ():
        source = known.get(str(name))
        rows.append(
            {
                "source": str(name),
                "licence": "–" if source is None else source.licence,
                "title": "not in this rackplan's table" if source is None else source.title,
                "address": "–" if source is None else source.address,
            }
        )
    return rows


def input_rows(view: View) -> Rows:
    """Files (and modules of policies) that the run read, with their SHA-256."""
    rows = []
    for key, digest in dict(view.manifest.get("inputs") or {}).items():
        use, _, file = str(key).partition(": ")
        digest = "unknown" if digest is None else str(digest)
        rows.append({"used by": use, "file": file or "–", "SHA-256": digest})
    return rows


def calibration_rows(view: View) -> Rows:
    """Files of fitted constants that speeds and draws rest on."""
    calibration = view.manifest.get("calibration")
    if not calibration:
        return []
    rows = [
        {
            "constants": name,
            "fitted": str(one["fitted"]),
            "from": str(one["source"]),
            "SHA-256 (16 digits)": str(one["sha256"]),
        }
        for name, one in calibration["constants"].items()
    ]
    own = calibration["own"]
    if own:
        rows.append(
            {
                "constants": f"own, of {own['gpu']}",
                "fitted": "–",
                "from": "the user's own",
                "SHA-256 (16 digits)": str(own["sha256"])[:16],
            }
        )
    if calibration["sample"]:
        rows.append({"constants": f"sample {calibration['sample']} of the errors of the fits"})
    return rows


def error_rows(view: View) -> Rows:
    """What is expected of the errors of each pool's predictions, from runs that were not fitted."""
    rows = []
    for pool in view.manifest["pools"]:
        for gpu, errors in dict(pool.get("expected_error") or {}).items():
            row = {"pool": str(pool["name"]), "GPU": str(gpu), "class": str(errors["class"])}
            for name in ("ttft", "tpot", "throughput", "draw"):
                if name in errors:
                    median, most = errors[name]
                    row[f"{name} error, median / 90 %"] = f"{median:.1%} / {most:.1%}"
            rows.append(row)
    return rows


def table_rows(view: View) -> Rows:
    """Tables with their rows."""
    none = "not recorded, or nothing happened"
    return [
        {"table": name, "rows": f"{view.rows(name):,}", "note": "" if view.rows(name) else none}
        for name in EVERY_TABLE
        if name in view.manifest["tables"]
    ]


def definition_rows(view: View) -> Rows:
    """How numbers were made."""
    return [
        {"word": str(word), "what it means": str(text)}
        for word, text in view.manifest["definitions"].items()
    ]
