"""A quantity that may change by the hour: one value, or a column of a CSV file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from sim.spec.nodes import show
from sim.spec.types import OneOf, Quantity, Spec, Value, refuse
from sim.units import EXAMPLE, describe

_EXAMPLE = "2023-06-01T00:00Z"


@dataclass(frozen=True)
class Moment(Value):
    """A time of the calendar with its zone, on a whole minute; kept as seconds since 1970."""

    def read(self, value: Any) -> float:
        """The seconds of ``2023-06-01T00:00Z``."""
        try:
            moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        except ValueError:
            moment = None
        if moment is None:
            raise refuse(f"expected a time such as {_EXAMPLE}, not {show(value)}")
        if moment.tzinfo is None:
            whole = value if len(value) > len("2023-06-01") else f"{value}T00:00"
            raise refuse(f"{show(value)} states no zone: write '{whole}Z' for UTC")
        if moment.second or moment.microsecond:
            raise refuse(f"{show(value)} is not on a whole minute")
        return moment.astimezone(UTC).timestamp()

    def schema(self) -> dict[str, Any]:
        """Text like the example."""
        return {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}[T ]", "examples": [_EXAMPLE]}


class HourlySpec(Spec):
    """A column of a CSV file with one row an hour; each value holds for its hour."""

    file: str = Field(description="a CSV file whose first column is the time of each hour's start")
    column: str = Field(description="the column to read")
    unit: str = Field(description="the unit of the column")
    start: Annotated[float, Moment()] = Field(
        description="the file's time at which the run begins, such as 2023-06-01T00:00Z"
    )
    gaps: Annotated[str, OneOf(("refuse", "hold"))] = Field(
        default="refuse", description="missing hours: refuse them, or hold the last value"
    )


@dataclass(frozen=True)
class OrHourly:
    """A quantity as everywhere, or a mapping that names a file."""

    quantity: Quantity

    def __get_pydantic_core_schema__(
        self, source: Any, handler: Callable[[Any], CoreSchema]
    ) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(self._read, handler(HourlySpec))

    def _read(self, value: Any, hourly: Callable[[Any], Any]) -> Any:
        if not isinstance(value, dict):
            return self.quantity.read(value)
        if "file" not in value:
            what = self.quantity.dimension
            raise refuse(
                f"expected {describe(what)} such as '{EXAMPLE[what]}', "
                "or a file of hours: {file: …, column: …, unit: …, start: …}"
            )
        return hourly(value)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [self.quantity.schema(), handler(schema)]}


#: Bounds of a value that is written down. A file has its own: prices of an hour may be negative.
PRICE = Quantity("money_per_energy", least=0.0)
CARBON = Quantity("carbon_per_energy", least=0.0)
OUTSIDE = Quantity("temperature", least=-60.0, most=60.0)
HUMIDITY = Quantity("fraction", least=0.0, most=1.0)

Price = Annotated[HourlySpec | float, OrHourly(PRICE)]
Carbon = Annotated[HourlySpec | float, OrHourly(CARBON)]
Outside = Annotated[HourlySpec | float, OrHourly(OUTSIDE)]
Humidity = Annotated[HourlySpec | float, OrHourly(HUMIDITY)]
