"""Reads a file of measurements, and says of a wrong one which line and what in it is wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn

from sim.calibrate.device import Identity
from sim.calibrate.kernel import KINDS, Kernel
from sim.calibrate.record import VERSION
from sim.calibrate.series import CASES
from sim.calibrate.statistics import Summary, summarise
from sim.errors import DataError, did_you_mean

#: A summary in the file may differ from that of its samples by this (rounding of decimals).
_EQUAL = 1e-9


@dataclass(frozen=True)
class Timed:
    """A kernel of the file: the summary of each case, made anew from its samples."""

    kernel: Kernel
    cases: Mapping[str, Summary]
    samples: int
    throttled: tuple[str, ...]  # reasons seen beside its samples
    drifted: bool
    converged: bool
    line: int


@dataclass(frozen=True)
class Calibration:
    """A whole file."""

    path: Path
    identity: Identity
    settings: Mapping[str, Any]
    refused: tuple[Mapping[str, Any], ...]  # kinds that this device does not offer, and why
    date: str
    timed: tuple[Timed, ...]
    failed: tuple[tuple[Kernel, str], ...]
    sessions: int
    torn: bool  # the last line had no end: its measurement is lost

    @property
    def known(self) -> tuple[Kernel, ...]:
        """Kernels that need not be tried again."""
        return (*(t.kernel for t in self.timed), *(kernel for kernel, _ in self.failed))


def read(path: Path) -> Calibration:
    """The file at ``path``.

    Raises:
        DataError: it cannot be read, or is no sound file of measurements; names line and key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise DataError(str(path), f"cannot be read: {reason}") from None
    whole, end, rest = text.rpartition("\n")
    lines = whole.split("\n") if end else []
    if not lines:
        raise DataError(str(path), "has no whole line: not a file of rackplan calibrate")
    reader = _Reader(path)
    for number, line in enumerate(lines, start=1):
        reader.line(number, line)
    return reader.finish(torn=bool(rest))


@dataclass
class _Reader:
    path: Path
    number: int = 0
    header: dict[str, Any] | None = None
    identity: Identity | None = None
    timed: dict[Kernel, Timed] = field(default_factory=dict)
    failed: dict[Kernel, str] = field(default_factory=dict)
    sessions: int = 0

    def line(self, number: int, text: str) -> None:
        self.number = number
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            self.wrong("", f"is not JSON: {error.msg} at column {error.colno}")
        if not isinstance(content, dict) or len(content) != 1:
            self.wrong("", "must be an object with one key, the kind of line")
        ((kind, body),) = content.items()
        kinds: dict[str, Callable[[dict[str, Any]], None]] = {
            "header": self._header, "session": self._session,
            "measured": self._measured, "failed": self._failed,
        }  # fmt: skip
        if kind not in kinds:
            self.wrong("", f"unknown kind of line {kind!r}{did_you_mean(kind, kinds)}")
        if (kind == "header") != (number == 1):
            self.wrong(kind, "the header must be the first line, and no other")
        if not isinstance(body, dict):
            self.wrong(kind, "must be an object")
        kinds[kind](body)

    def finish(self, torn: bool) -> Calibration:
        assert self.header is not None  # `line` refuses a file that begins otherwise
        assert self.identity is not None
        return Calibration(
            self.path, self.identity, self.header["settings"], tuple(self.header["refused"]),
            self.header["date"],
            tuple(self.timed.values()), tuple(self.failed.items()), self.sessions, torn,
        )  # fmt: skip

    def wrong(self, where: str, message: str) -> NoReturn:
        raise DataError(str(self.path), f"{where}: {message}" if where else message, self.number)

    def get(self, body: Mapping[str, Any], where: str, key: str, kind: type) -> Any:
        if key not in body:
            self.wrong(where, f"lacks {key!r}")
        value = body[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.wrong(f"{where}.{key}", f"must be {_NAMES[kind]}, not {value!r:.60}")
        return value

    def positive(self, value: Any, where: str) -> float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or value <= 0:
            self.wrong(where, f"must be a positive number, not {value!r:.60}")
        return float(value)

    def _header(self, body: dict[str, Any]) -> None:
        version = self.get(body, "header", "version", int)
        if version != VERSION:
            self.wrong("header.version", f"is {version}; this rackplan reads version {VERSION}")
        settings = self.get(body, "header", "settings", dict)
        for name in ("target", "drift"):
            self.positive(settings.get(name), f"header.settings.{name}")
        self.get(body, "header", "date", str)
        for i, entry in enumerate(self.get(body, "header", "refused", list)):
            where = f"header.refused[{i}]"
            if not isinstance(entry, dict):
                self.wrong(where, "must be an object")
            for name in ("kind", "dtype", "reason"):
                self.get(entry, where, name, str)
            self.get(entry, where, "kernels", int)
        device = self.get(body, "header", "device", dict)
        names = {f.name for f in fields(Identity)}
        for name in sorted(names ^ set(device)):
            self.wrong("header.device", f"{'lacks' if name in names else 'has unknown'} {name!r}")
        for name in ("kind", "name"):
            self.get(device, "header.device", name, str)
        for name in ("memory_bytes", "cache_bytes", "flush_bytes"):
            self.positive(device[name], f"header.device.{name}")
        notes = tuple(self.get(device, "header.device", "notes", list))
        self.get(device, "header.device", "libraries", dict)
        self.header, self.identity = body, Identity(**{**device, "notes": notes})

    def _session(self, body: dict[str, Any]) -> None:
        self.positive(body.get("minutes"), "session.minutes")
        self.sessions += 1

    def _kernel(self, body: dict[str, Any], where: str) -> Kernel:
        kind = self.get(body, where, "kind", str)
        if kind not in KINDS:
            self.wrong(f"{where}.kind", f"unknown kernel {kind!r}{did_you_mean(kind, KINDS)}")
        sizes = self.get(body, where, "sizes", dict)
        if tuple(sizes) != KINDS[kind].sizes:
            self.wrong(f"{where}.sizes", f"must be {', '.join(KINDS[kind].sizes)}")
        for name, size in sizes.items():
            if not isinstance(size, int) or isinstance(size, bool) or size < 1:
                self.wrong(f"{where}.sizes.{name}", f"must be a whole number, not {size!r:.60}")
        try:
            return Kernel(kind, self.get(body, where, "dtype", str), tuple(sizes.values()))
        except ValueError:
            self.wrong(f"{where}.dtype", f"unknown data type {body['dtype']!r}")

    def _measured(self, body: dict[str, Any]) -> None:
        kernel = self._kernel(body, "measured")
        if kernel in self.timed:
            self.wrong("measured", f"{kernel.name} is measured on line {self.timed[kernel].line}")
        cases = self.get(body, "measured", "cases", dict)
        if set(cases) != set(CASES):
            self.wrong("measured.cases", f"must be {' and '.join(CASES)}")
        read = {c: self._series(self.get(cases, "measured.cases", c, dict), c) for c in CASES}
        reasons = {
            reason
            for case in cases.values()
            for reading in case.get("sensors", {}).get("throttle", [])
            for reason in reading or ()
        }
        self.timed[kernel] = Timed(
            kernel, read, len(cases["warm"]["seconds"]), tuple(sorted(reasons)),
            self.get(body, "measured", "drifted", bool),
            self.get(body, "measured", "converged", bool), self.number,
        )  # fmt: skip
        self.failed.pop(kernel, None)

    def _series(self, body: dict[str, Any], case: str) -> Summary:
        where = f"measured.cases.{case}"
        seconds = self.get(body, where, "seconds", list)
        if not seconds:
            self.wrong(f"{where}.seconds", "has no samples")
        for i, value in enumerate(seconds):
            self.positive(value, f"{where}.seconds[{i}]")
        for name, readings in self.get(body, where, "sensors", dict).items():
            if not isinstance(readings, list) or len(readings) != len(seconds):
                self.wrong(f"{where}.sensors.{name}", f"must be {len(seconds)} readings")
            if name == "throttle" and not all(map(_is_reasons, readings)):
                self.wrong(f"{where}.sensors.{name}", "must be lists of reasons, or null")
        summary = summarise(seconds)
        stated = self.positive(body.get("median_s"), f"{where}.median_s")
        if not math.isclose(stated, summary.median, rel_tol=_EQUAL):
            self.wrong(
                f"{where}.median_s", f"is {stated:g}, but that of its samples is {summary.median:g}"
            )
        return summary

    def _failed(self, body: dict[str, Any]) -> None:
        kernel = self._kernel(body, "failed")
        self.failed[kernel] = self.get(body, "failed", "reason", str)


def _is_reasons(reading: Any) -> bool:
    return reading is None or (
        isinstance(reading, list) and all(isinstance(reason, str) for reason in reading)
    )


_NAMES = {str: "text", int: "a whole number", bool: "true or false", dict: "an object",
          list: "a list"}  # fmt: skip
