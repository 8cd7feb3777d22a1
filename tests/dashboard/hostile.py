"""A run folder whose every name and text is an attack, and where on a page its text may be."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from google.protobuf.message import Message
from streamlit.testing.v1 import AppTest

BEACON = (
    "![x](http://evil.example/p.png)<script>alert(1)</script><img src=x onerror=alert(1)>"
    "[y](javascript:alert(1)) http://evil.example www.evil.example :red[z] $x$"
)
#: The same for names that metrics have in brackets, which end at a ']'.
IN_BRACKETS = (
    "<script>alert(1)</script><img src=x onerror=alert(1)> http://evil.example (javascript:alert(1)"
)
#: What may be on no page but as text; ``style.plain`` parts the second by backslashes.
MARKS = ("![x](http", "evil.example", "<script", "<img", "(javascript:")
#: Columns of names that other tables, the manifest and metrics refer to.
_NAMES = (("workloads", "workload", BEACON), ("workloads", "pool", IN_BRACKETS),
          ("power_nodes", "name", IN_BRACKETS))  # fmt: skip
_OF_NAMES = {"workload", "pool"}
#: Columns of text that nothing refers to.
_TEXTS = {"policy", "subject", "suggestion", "reason_code", "reason", "entity", "detail", "node",
          "gpus", "gpu", "origin"}  # fmt: skip
#: Of a manifest, what is words of our own code, which a page may look up.
_KEPT = {"outcome", "format", "engine", "record", "kind", "tables", "calibration"}


def hostile_run(good: Path, target: Path) -> None:
    """Copy a run, and let every name and text in its files carry ``BEACON``."""
    shutil.copytree(good, target)
    names: dict[str, str] = {}
    for table, column, beacon in _NAMES:
        for file in (good / table).glob("*.parquet"):
            names |= {n: n + beacon for n in pq.ParquetFile(file).read().column(column).to_pylist()}
    for file in target.rglob("*.parquet"):
        _poison(file, names)
    manifest = json.loads((target / "manifest.json").read_text())
    poisoned = {
        key: value if key in _KEPT else _words(value, names, all_texts=key != "pools")
        for key, value in manifest.items()
    }
    (target / "manifest.json").write_text(json.dumps(poisoned))
    metrics = json.loads((target / "metrics.json").read_text())
    renamed = {_metric(name, names): entry for name, entry in metrics.items()}
    for entry in renamed.values():
        if entry.get("reason"):
            entry["reason"] += BEACON
    (target / "metrics.json").write_text(json.dumps(renamed))


def _poison(file: Path, names: dict[str, str]) -> None:
    table = pq.ParquetFile(file).read()
    for place, field in enumerate(table.schema):
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if not pa.types.is_string(kind):
            continue
        values = table.column(place).to_pylist()
        of_names = field.name in _OF_NAMES or field.name == "name"
        if of_names or field.name in _TEXTS:
            values = [
                value
                if value is None or (of_names and value not in names)
                else names.get(value, value + BEACON)
                for value in values
            ]
            table = table.set_column(place, field, pa.array(values, kind).cast(field.type))
    pq.write_table(table, file)


def _metric(name: str, names: dict[str, str]) -> str:
    bracket = re.fullmatch(r"(\w+\[)(.*)(\]\..*)", name)
    if bracket:
        return bracket[1] + names.get(bracket[2], bracket[2]) + bracket[3]
    head, dot, rest = name.partition(".")
    return names.get(head, head) + dot + rest if dot else name


def _words(value: Any, names: dict[str, str], all_texts: bool, key: str = "") -> Any:
    if isinstance(value, dict):
        return {k: _words(v, names, all_texts, k) for k, v in value.items()}
    if isinstance(value, list):
        return [_words(item, names, all_texts, key) for item in value]
    if not isinstance(value, str):
        return value
    if value in names:
        return names[value]
    if key == "metric":
        return _metric(value, names)
    return value + BEACON if all_texts and key not in _KEPT else value


def _protos(block: Any) -> Iterator[tuple[str, Message]]:
    """Kind and content of every element of a page, its blocks included."""
    for node in block.children.values():
        proto = getattr(node, "proto", None)
        if isinstance(proto, Message):
            yield str(node.type), proto
        if hasattr(node, "children"):
            yield from _protos(node)


#: Elements whose text is drawn as it is → the fields that hold it.
_AS_TEXT = {
    "text": ("body",),
    "code": ("code_text",),
    "selectbox": ("options", "default", "raw_value", "value"),
    "multiselect": ("options", "default", "raw_values"),
    "text_area": ("default", "value"),
    "text_input": ("default", "value"),
    "vega_lite_chart": ("spec", "datasets", "data", "alt"),
    "arrow_data_frame": ("data", "arrow_data"),
    "dataframe": ("data", "arrow_data"),
}


def markup(app: AppTest) -> list[str]:
    """Every part of a page that may be taken for markup and holds a piece of ``BEACON``."""
    found = []
    for kind, proto in _protos(app._tree):
        rest = type(proto)()
        rest.CopyFrom(proto)
        for name in _AS_TEXT.get(kind, ()):
            if name in rest.DESCRIPTOR.fields_by_name:
                rest.ClearField(name)
        content = rest.SerializeToString().decode("utf-8", errors="replace")
        content = re.sub(r"\\[!-/:-@\[-`{-~]", "", content)  # escaped: shown as it is
        if any(mark in content for mark in MARKS):
            found.append(f"{kind}: {rest}"[:500])
        if kind == "vega_lite_chart":
            found += _pictures(proto)
    return found


def _pictures(chart: Any) -> list[str]:
    """Tooltip fields of a chart that a browser would load as a picture."""
    text = chart.spec
    return [f"chart with a field 'image': {text[:200]}"] if '"image"' in text else []


def mentions(app: AppTest) -> int:
    """How many elements hold a piece of ``BEACON`` at all, so that a test is not about nothing."""
    return sum(
        any(mark.encode() in proto.SerializeToString() or mark in str(proto) for mark in MARKS)
        for _, proto in _protos(app._tree)
    )
