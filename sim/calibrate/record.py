"""The file of a calibration: JSON lines, a header first, then a line for whatever was measured.

Each line is written whole and flushed to the disk before the next kernel is timed, so a run that
is stopped, or killed, loses only what was under way. A last line without its end is what a kill in
the middle of a write leaves: it is cut off when the file is taken up again, and readers ignore it.

Kinds of line, by their only key:

* ``header``: version of this format, device, driver, libraries, settings, what the device refused.
* ``session``: a start of measuring: date, minutes, the reference kernel and its time.
* ``measured``: a kernel: its sizes; for each case raw samples, sensors and summary; drift.
* ``failed``: a kernel that the device could not run, and why.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sim
from sim.calibrate.device import Identity
from sim.calibrate.drift import Drift
from sim.calibrate.kernel import Kernel
from sim.calibrate.order import Order
from sim.calibrate.series import Failure, Measurement, Series
from sim.calibrate.settings import Settings
from sim.errors import RackplanError

VERSION = 1
POLICY = (
    "median of samples without those further from it than 5 x 1.4826 MAD (0.2 % of the median at "
    "least); interval by order statistics, 95 % where there are enough samples"
)


def now() -> str:
    """Date and time, to the second, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Writer:
    """Appends to one file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def new(cls, path: Path, identity: Identity, settings: Settings, order: Order) -> Writer:
        """Makes the file with its header, whole or not at all.

        Raises:
            RackplanError: something has this name already, or it cannot be written.
        """
        if path.exists():
            raise RackplanError(
                f"{path} is there already: --resume {path} goes on with it, --out names another"
            )
        refused = [
            {"kind": kind, "dtype": dtype, "reason": reason, "kernels": count}
            for (kind, dtype, reason), count in sorted(order.refused.items())
        ]
        header = {
            "version": VERSION,
            "rackplan": sim.__version__,
            "date": now(),
            "device": asdict(identity),
            "settings": asdict(settings),
            "statistics": POLICY,
            "refused": refused,
        }
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            with os.fdopen(handle, "wb") as stream:
                stream.write(_line({"header": header}))
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(part, 0o644)
            os.replace(part, path)
        except OSError as error:
            raise RackplanError(f"{path} cannot be written: {error.strerror}") from None
        return cls(path)

    @classmethod
    def resume(cls, path: Path) -> Writer:
        """Goes on with a file that ``read`` has found sound; a torn last line is cut off."""
        try:
            with path.open("r+b") as stream:
                content = stream.read()
                stream.truncate(content.rfind(b"\n") + 1)
        except OSError as error:
            raise RackplanError(f"{path} cannot be written: {error.strerror}") from None
        return cls(path)

    def session(self, minutes: float, drift: Drift, reference: Kernel) -> None:
        """A start of measuring."""
        self._append(
            "session",
            {
                "date": now(),
                "minutes": minutes,
                "reference": reference.name,
                "reference_s": drift.reference_s,
                "drift_tolerance": drift.tolerance,
            },
        )

    def measured(self, measurement: Measurement) -> None:
        """A kernel that was timed."""
        self._append(
            "measured",
            {
                **_kernel(measurement.kernel),
                "cases": {case: _series(s) for case, s in measurement.cases.items()},
                "reference": measurement.reference,
                "drifted": measurement.drifted,
                "repeated": measurement.repeated,
                "converged": measurement.converged,
                "date": now(),
            },
        )

    def failed(self, failure: Failure) -> None:
        """A kernel that the device could not run."""
        self._append("failed", {**_kernel(failure.kernel), "reason": failure.reason, "date": now()})

    def _append(self, kind: str, content: Mapping[str, Any]) -> None:
        try:
            with self.path.open("ab") as stream:
                stream.write(_line({kind: content}))
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise RackplanError(f"{self.path} cannot be written: {error.strerror}") from None


def _line(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def _kernel(kernel: Kernel) -> dict[str, Any]:
    return {"kind": kernel.kind, "dtype": kernel.dtype, "sizes": kernel.named}


def _series(series: Series) -> dict[str, Any]:
    summary = series.summary
    return {
        "launches": series.launches,
        "median_s": summary.median,
        "low_s": summary.low,
        "high_s": summary.high,
        "coverage": summary.coverage,
        "rejected": list(summary.rejected),
        "late": series.late,
        "seconds": list(series.seconds),
        "sensors": series.columns(),
    }
