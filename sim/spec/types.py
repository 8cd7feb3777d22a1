"""The kinds of values a scenario is made of, each with its message and its JSON Schema.

Every message is written here or in ``wording``; none is pydantic's.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, Strict
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from sim.errors import did_you_mean
from sim.spec.nodes import show
from sim.spec.quantity import read_quantity
from sim.units import EXAMPLE, UNITS, UnitError

NOT_MODELLED = "reserved, not modelled yet"

T = TypeVar("T")


def refuse(message: str) -> PydanticCustomError:
    """An error that carries one of our messages through pydantic unchanged."""
    return PydanticCustomError("rackplan", "{message}", {"message": message})


class Spec(BaseModel):
    """Base of every mapping of a scenario: frozen, no unknown keys, no conversions."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, populate_by_name=False, hide_input_in_errors=True
    )


class Value(ABC):
    """A kind of scalar, with its reading and its JSON Schema."""

    @abstractmethod
    def read(self, value: Any) -> Any:
        """The value, or raise ``refuse`` with what is wrong."""

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """Its JSON Schema."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return self.schema()


@dataclass(frozen=True)
class Quantity(Value):
    """A number with its unit, read into SI; the bound ``above`` is exclusive."""

    dimension: str
    above: float | None = None
    least: float | None = None
    most: float | None = None

    def read(self, value: Any) -> float:
        """The SI value of ``"30 min"``."""
        try:
            number = read_quantity(value, self.dimension)
        except UnitError as error:
            raise refuse(str(error)) from None
        if self.above is not None and number <= self.above:
            raise refuse(f"must be above {self._bound(self.above)}, not {show(value)}")
        if self.least is not None and number < self.least:
            raise refuse(f"must be at least {self._bound(self.least)}, not {show(value)}")
        if self.most is not None and number > self.most:
            raise refuse(f"must be at most {self._bound(self.most)}, not {show(value)}")
        return number

    def _bound(self, bound: float) -> str:
        """A bound in its largest unit that keeps it at 1 or more: ``3650 d``, ``0 s``."""
        if self.dimension == "fraction":
            return f"{100 * bound:g} %"
        fitting = [(f, u) for u, f in UNITS[self.dimension].items() if 1.0 <= f <= max(bound, 1.0)]
        factor, unit = max(fitting, default=(1.0, ""))
        return f"{bound / factor:,.12g} {unit}".strip()

    def schema(self) -> dict[str, Any]:
        """Text of a number and one of the units, or a bare number where no unit is due."""
        units = "|".join(re.escape(unit) for unit in UNITS[self.dimension] if unit)
        number = r"^[+-]?(\d[\d_]*\.?[\d_]*|\.\d+)([eE][+-]?\d+)?"
        bare = self.dimension in ("fraction", "count", "ratio", "tokens")
        unit = rf"\s*({units}){'?' if bare else ''}" if units else ""
        text = {"type": "string", "pattern": f"{number}{unit}$"}
        example = {"examples": [EXAMPLE[self.dimension]]}
        if bare:
            return {"anyOf": [{"type": "number"}, text], **example}
        return {**text, **example}


@dataclass(frozen=True)
class Latency(Quantity):
    """A time that services often state in milliseconds; without a unit it may mean either."""

    def read(self, value: Any) -> float:
        """The SI value of ``"200 ms"``."""
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 100:
            shown = f"{value:.12g}"
            raise refuse(f"needs a unit: write '{shown} ms' or '{shown} s' (a time)")
        return super().read(value)


@dataclass(frozen=True)
class OneOf(Value):
    """One of a few words; ``reserved`` words are known and refused as not modelled yet.

    ``guess``: whether a message may name the nearest word, rather than all of them.
    """

    allowed: tuple[str, ...]
    reserved: tuple[str, ...] = ()
    guess: bool = True

    def read(self, value: Any) -> str:
        """The word itself."""
        if isinstance(value, str) and value in self.allowed:
            return value
        if isinstance(value, str) and value in self.reserved:
            raise refuse(f"{value!r} is {NOT_MODELLED} (write {' or '.join(self.allowed)})")
        listed = ", ".join(self.allowed)
        if isinstance(value, str):
            hint = did_you_mean(value, self.allowed) if self.guess else f" (known: {listed})"
            raise refuse(f"unknown word {show(value)}{hint}")
        raise refuse(f"expected one of {listed}, not {show(value)}")

    def schema(self) -> dict[str, Any]:
        """An enumeration of the words that work."""
        return {"enum": list(self.allowed)}


@dataclass(frozen=True)
class Name(Value):
    """A name, matching ``pattern``; ``rule`` says in words what that is."""

    pattern: str = r"[A-Za-z0-9][A-Za-z0-9_-]*"
    rule: str = "letters, digits, '-' and '_'"

    def read(self, value: Any) -> str:
        """The name itself."""
        if not isinstance(value, str):
            raise refuse(f"expected a name, not {show(value)}")
        if len(value) > 100 or not re.fullmatch(self.pattern, value):
            raise refuse(f"{show(value)} is not a name: use {self.rule}, a letter or digit first")
        return value

    def schema(self) -> dict[str, Any]:
        """Text that matches the pattern."""
        return {"type": "string", "pattern": f"^{self.pattern}$"}


@dataclass(frozen=True)
class Priority(Value):
    """``high``, ``normal``, ``low`` or a class 0 to 7; 0 is served first."""

    def read(self, value: Any) -> int:
        """The class as a number."""
        words = {"high": 0, "normal": 1, "low": 2}
        if isinstance(value, str) and value in words:
            return words[value]
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 7:
            return value
        hint = did_you_mean(value, words) if isinstance(value, str) else ""
        raise refuse(
            f"expected high, normal, low or a number from 0 (first) to 7, not {show(value)}{hint}"
        )

    def schema(self) -> dict[str, Any]:
        """A word or a number."""
        return {
            "anyOf": [
                {"enum": ["high", "normal", "low"]},
                {"type": "integer", "minimum": 0, "maximum": 7},
            ]
        }


@dataclass(frozen=True)
class Reserved(Value):
    """A word kept for later: accepted while it is empty, refused otherwise."""

    def read(self, value: Any) -> None:
        """Nothing."""
        if value not in ([], {}):
            raise refuse(NOT_MODELLED)

    def schema(self) -> dict[str, Any]:
        """Only what is empty."""
        return {
            "description": NOT_MODELLED,
            "anyOf": [
                {"type": "null"},
                {"type": "array", "maxItems": 0},
                {"type": "object", "maxProperties": 0},
            ],
        }


@dataclass(frozen=True)
class Shorthand:
    """Text that may stand for a mapping: ``full`` for ``{level: full}``."""

    key: str
    words: tuple[str, ...] = ()  # all there are, if that is known here

    def __get_pydantic_core_schema__(
        self, source: Any, handler: Callable[[Any], CoreSchema]
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._widen, handler(source))

    def _widen(self, value: Any) -> Any:
        return {self.key: value} if isinstance(value, str) else value

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        word = {"enum": list(self.words)} if self.words else {"type": "string"}
        return {"anyOf": [word, handler(schema)]}


@dataclass(frozen=True)
class NonEmpty:
    """A list with at least one item; says so only when all of its items are sound."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: Callable[[Any], CoreSchema]
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._some, handler(source))

    def _some(self, value: Any) -> Any:
        if not value:
            raise refuse("the list is empty")
        return value

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "minItems": 1}


#: Beyond these a number is a slip of the keyboard; within them no sum in a run overflows.
_MOST_SECONDS = 3650 * 86400.0
_MOST_WAY_SECONDS = 3600.0
_LEAST_WATTS, _MOST_WATTS = 1.0, 1e12

Seconds: TypeAlias = Annotated[float, Quantity("time", least=0.0, most=_MOST_SECONDS)]
PositiveSeconds: TypeAlias = Annotated[float, Quantity("time", above=0.0, most=_MOST_SECONDS)]
LatencySeconds: TypeAlias = Annotated[float, Latency("time", above=0.0, most=_MOST_SECONDS)]
WaySeconds: TypeAlias = Annotated[float, Latency("time", least=0.0, most=_MOST_WAY_SECONDS)]
Watts: TypeAlias = Annotated[
    float, Quantity("power", above=0.0, least=_LEAST_WATTS, most=_MOST_WATTS)
]
DataRate: TypeAlias = Annotated[float, Quantity("bytes_per_s", above=0.0)]
Rate: TypeAlias = Annotated[float, Quantity("rate", above=0.0)]
Share: TypeAlias = Annotated[float, Quantity("fraction", above=0.0, most=1.0)]
PositiveNumber: TypeAlias = Annotated[float, Quantity("count", above=0.0)]
Multiple: TypeAlias = Annotated[float, Quantity("count", least=0.0)]
Count: TypeAlias = Annotated[int, Field(ge=1, le=10_000_000)]
Identifier: TypeAlias = Annotated[str, Name()]
Many: TypeAlias = Annotated[tuple[T, ...], Strict(False)]
Some: TypeAlias = Annotated[tuple[T, ...], Strict(False), NonEmpty()]
