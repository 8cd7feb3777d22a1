"""What a number in ``data/`` carries besides its value: unit, source, licence and mark."""

from __future__ import annotations

from dataclasses import dataclass

#: ``read``: found in the named source. ``assumed``: remembered, derived or chosen (see the note).
MARKS = ("read", "assumed")


@dataclass(frozen=True)
class Source:
    """Where a number comes from: a row of ``data/sources.yaml``."""

    id: str
    title: str
    address: str
    licence: str


@dataclass(frozen=True)
class Field:
    """One value of one catalog entry, as written and in SI, with its provenance.

    ``key`` is the path inside the entry (``peak.bf16``). ``text`` is what the file says; ``value``
    is the number in ``unit`` (SI), or None for a word such as a vendor's name.
    Words have provenance too where the file gives one, otherwise ``source`` is None. A list of
    numbers is in ``numbers``, in SI.
    """

    key: str
    text: str
    value: float | None
    unit: str
    source: Source | None
    mark: str
    note: str
    line: int
    numbers: tuple[float, ...] = ()


@dataclass(frozen=True)
class Entry:
    """One row of the catalog: its kind, name, file, and every field in the order of the file."""

    kind: str
    name: str
    file: str
    line: int
    fields: tuple[Field, ...]

    def field(self, key: str) -> Field:
        """The field of this key.

        Raises:
            KeyError: this entry has no such field (a schema that was not checked).
        """
        for candidate in self.fields:
            if candidate.key == key:
                return candidate
        raise KeyError(f"{self.kind} {self.name} has no field {key!r}")

    def has(self, key: str) -> bool:
        """Whether the entry states this (optional) key."""
        return any(field.key == key for field in self.fields)

    def number(self, key: str) -> float:
        """The SI value of a numeric field."""
        value = self.field(key).value
        if value is None:
            raise KeyError(f"{self.kind} {self.name}: {key!r} is a word, not a number")
        return value

    def numbers(self, key: str) -> tuple[float, ...]:
        """The SI values of a field that is a list."""
        return self.field(key).numbers

    def count(self, key: str) -> int:
        """A whole number (the reader has checked that it is one)."""
        return round(self.number(key))

    def word(self, key: str) -> str:
        """The text of a field that is a word."""
        return self.field(key).text

    def under(self, key: str) -> dict[str, float]:
        """The numbers below ``key``: ``peak`` → {"bf16": …, "fp8": …}, in the order of the file."""
        prefix = f"{key}."
        return {
            field.key[len(prefix) :]: field.value
            for field in self.fields
            if field.key.startswith(prefix) and field.value is not None
        }
