"""Quantities that may change by the hour: one value, or a column of a CSV file."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path as FilePath

from sim.check.collector import Collector
from sim.check.files import located_file
from sim.errors import DataError, did_you_mean
from sim.site.hours import Column, Hours, flat, read_hours
from sim.spec.hourly import HourlySpec
from sim.spec.nodes import Path, shorten
from sim.units import EXAMPLE, UNITS, describe


@dataclass
class HourReader:
    """Reads hours for one scenario; remembers the files and the years that they came from."""

    found: Collector
    length_s: float
    files: dict[str, FilePath] = field(default_factory=dict)
    years: dict[str, int] = field(default_factory=dict)  # path of a series → year of its start

    def read(
        self,
        spec: HourlySpec | float,
        path: Path,
        dimension: str,
        least: float = -math.inf,
        most: float = math.inf,
    ) -> Hours | None:
        """The hours at ``path``, or None (and a problem); the bounds are for values of a file."""
        if not isinstance(spec, HourlySpec):
            return flat(spec)
        found, units = self.found, UNITS[dimension]
        file = located_file(found, (*path, "file"), spec.file, (".csv",))
        factor = units.get(spec.unit)
        if factor is None:
            what = f"{describe(dimension)} such as {EXAMPLE[dimension].split(' ', 1)[1]!r}"
            message = f"{shorten(spec.unit)!r} is not a unit of {what}"
            found.error((*path, "unit"), f"{message}{did_you_mean(spec.unit, units)}")
        if file is None or factor is None:
            return None
        column = Column(
            file=file,
            label=shorten(spec.file, 100),
            name=spec.column,
            factor=factor,
            start_s=spec.start,
            length_s=self.length_s,
            hold=spec.gaps == "hold",
            least=least,
            most=most,
        )
        try:
            hours, held = read_hours(column)
        except DataError as error:
            found.error((*path, "file"), " ".join(str(error).split()))
            return None
        if held:
            count = len(hours.values)
            found.warn(path, f"{held} of the run's {count} hours are missing; the last value held")
        place = ".".join(str(part) for part in path)
        self.files[place] = file
        self.years[place] = datetime.fromtimestamp(spec.start, UTC).year
        return hours
