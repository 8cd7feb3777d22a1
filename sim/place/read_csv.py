"""Node and pod lists in CSV, with the columns of the openb trace; ``.gz`` is unpacked."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np

from sim.errors import DataError, did_you_mean
from sim.place.lists import LEVELS, NodeList, PodList
from sim.workload.readers import csv_rows

#: What any machine could have, so that sums of a list stay far from the end of int64.
LARGEST = 10**12
MOST_GPUS = 62  # the GPUs that a pod got are bits of an int64

_NODES = ("cpu_milli", "memory_mib", "gpu", "model")
_PODS = ("name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli")
_PODS_MORE = ("gpu_spec", "priority", "tenant", "isolation")
#: Columns of the openb trace that no placement looks at.
_UNUSED = ("qos", "pod_phase", "creation_time", "deletion_time", "scheduled_time")


@contextmanager
def open_text(file: Path) -> Iterator[TextIO]:
    """A list's text, unpacked if its name ends in ``.gz``.

    Raises:
        DataError: it cannot be read.
    """
    try:
        if file.suffix == ".gz":
            with gzip.open(file, "rt", encoding="utf-8-sig", newline="") as stream:
                yield stream
        else:
            with file.open(encoding="utf-8-sig", newline="") as stream:
                yield stream
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(str(file), f"is no whole gzip file: {error}") from error
    except OSError as error:
        raise DataError(str(file), f"cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(str(file), "is not UTF-8 text; is it compressed or Parquet?") from error


def read_nodes(file: Path) -> NodeList:
    """A list of nodes: ``sn`` (or ``name``), cpu_milli, memory_mib, gpu, model; rack, leaf.

    Raises:
        DataError: with the line, what is wrong and what would be right.
    """
    name = str(file)
    columns: dict[str, list[str]] = {"rack": [], "leaf": []}
    numbers: dict[str, list[int]] = {"cpu_milli": [], "memory_mib": [], "gpu": []}
    names: dict[str, int] = {}
    types: list[str] = []
    with open_text(file) as stream:
        for line, row in csv_rows(stream, name, _NODES, ("sn", "name", "rack", "leaf")):
            key = row.get("sn", row.get("name"))
            if key is None:
                raise DataError(name, "column 'sn' is missing: the names of nodes (or 'name')", 1)
            _once(names, key.strip(), "node", name, line)
            for column, values in numbers.items():
                values.append(_whole(row[column], column, name, line))
            gpus, model = numbers["gpu"][-1], row["model"].strip()
            if gpus > MOST_GPUS:
                message = f"gpu: {gpus} on one node; a node holds at most {MOST_GPUS}"
                raise DataError(name, message, line)
            if gpus and not model:
                raise DataError(name, f"model is empty, and the node has {gpus} GPUs", line)
            if "|" in model:
                raise DataError(name, f"model: {model!r} holds '|', which parts types", line)
            types.append(model if gpus else "")
            for column, texts in columns.items():
                if column in row:
                    texts.append(row[column].strip())
    if not names:
        raise DataError(name, "has no nodes; a cluster needs at least one row")
    arrays = {column: np.array(values, dtype=np.int64) for column, values in numbers.items()}
    return NodeList(
        file=name,
        names=tuple(names),
        cpu_milli=arrays["cpu_milli"],
        memory_mib=arrays["memory_mib"],
        gpus=arrays["gpu"],
        gpu=tuple(types),
        racks=tuple(columns["rack"]) or None,
        leaves=tuple(columns["leaf"]) or None,
    )


def read_pods(file: Path) -> PodList:
    """A list of pods: name, cpu_milli, memory_mib, num_gpu, gpu_milli; gpu_spec and more.

    Raises:
        DataError: with the line, what is wrong and what would be right.
    """
    name = str(file)
    names: dict[str, int] = {}
    places: dict[str, int] = {}
    tenants: list[str] = []
    rows: list[tuple[int, ...]] = []
    with open_text(file) as stream:
        for line, row in csv_rows(stream, name, _PODS, (*_PODS_MORE, *_UNUSED)):
            _once(names, row["name"].strip(), "pod", name, line)
            gpus, milli = _gpus(row, name, line)
            spec = _spec(row.get("gpu_spec", ""), name, line) if gpus else ""
            tenant = row.get("tenant", "").strip()
            level = row.get("isolation", "").strip()
            tenants.append(tenant)
            rows.append(
                (
                    _whole(row["cpu_milli"], "cpu_milli", name, line),
                    _whole(row["memory_mib"], "memory_mib", name, line),
                    gpus,
                    milli,
                    places.setdefault(spec, len(places)),
                    _signed(row.get("priority", ""), "priority", name, line),
                    _alone(level, tenant, name, line),
                )
            )
    if not rows:
        raise DataError(name, "has no pods; a workload needs at least one row")
    table = np.array(rows, dtype=np.int64)
    cpu, memory, gpus_, milli_, where, priority, alone = (table[:, i].copy() for i in range(7))
    return PodList(
        name, tuple(names), cpu, memory, gpus_, milli_, where, tuple(places), priority,
        tuple(tenants), alone,
    )  # fmt: skip


def _once(names: dict[str, int], key: str, what: str, file: str, line: int) -> None:
    if not key:
        raise DataError(file, f"the {what} has no name", line)
    first = names.setdefault(key, line)
    if first != line:
        raise DataError(file, f"{what} {key!r} is there already, in line {first}", line)


def _whole(text: str, column: str, file: str, line: int) -> int:
    value = _signed(text, column, file, line, empty=False)
    if not 0 <= value <= LARGEST:
        raise DataError(file, f"{column} is {value}; it must be 0 to {LARGEST:,}", line)
    return value


def _signed(text: str, column: str, file: str, line: int, *, empty: bool = True) -> int:
    body = text.strip()
    if not body and empty:
        return 0
    digits = body.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 15:
        raise DataError(file, f"{column}: {body[:40]!r} is not a whole number", line)
    return int(body)


def _gpus(row: dict[str, str], file: str, line: int) -> tuple[int, int]:
    """How many GPUs, and thousandths of each."""
    gpus = _whole(row["num_gpu"], "num_gpu", file, line)
    milli = _whole(row["gpu_milli"], "gpu_milli", file, line)
    if gpus == 0:
        if milli:
            message = f"gpu_milli is {milli} and num_gpu is 0; a part of a GPU has num_gpu 1"
            raise DataError(file, message, line)
        return 0, 0
    if gpus > MOST_GPUS:
        message = f"num_gpu: {gpus}; a pod is on one node, which has at most {MOST_GPUS}"
        raise DataError(file, message, line)
    if not 1 <= milli <= 1000:
        message = f"gpu_milli is {milli}; it is thousandths of each GPU, 1 to 1000"
        raise DataError(file, message, line)
    return gpus, milli


def _spec(text: str, file: str, line: int) -> str:
    """GPU types in one order, each once; "" for any."""
    if not text.strip():
        return ""
    types = [part.strip() for part in text.split("|")]
    if not all(types):
        raise DataError(file, f"gpu_spec: {text!r} has an empty type between '|'", line)
    return "|".join(sorted(set(types)))


def _alone(level: str, tenant: str, file: str, line: int) -> int:
    if not level:
        return 0
    known: Sequence[str] = LEVELS
    if level not in known:
        message = f"isolation: unknown level {level!r}{did_you_mean(level, known)}"
        raise DataError(file, message, line)
    if not tenant:
        raise DataError(file, f"isolation is {level}, and the pod names no tenant", line)
    return known.index(level) + 1
