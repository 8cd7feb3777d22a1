"""Kubernetes' quantities: ``64``, ``500m``, ``263754828Ki``, ``1.5G``, ``2e3``."""

from __future__ import annotations

import math
import re
from fractions import Fraction

_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d{1,3})|([numkMGTPE]|[KMGTPE]i)?)")
_BINARY = {f"{letter}i": Fraction(1024) ** (i + 1) for i, letter in enumerate("KMGTPE")}
_DECIMAL = {letter: Fraction(1000) ** (i + 1) for i, letter in enumerate("kMGTPE")}
_SMALL = {"m": Fraction(1, 10**3), "u": Fraction(1, 10**6), "n": Fraction(1, 10**9)}
_SUFFIXES = {**_BINARY, **_DECIMAL, **_SMALL}
MIB = Fraction(1024**2)
LARGEST = 10**18


def quantity(value: object) -> Fraction:
    """The exact value of a quantity, which JSON may hold as text or as a number.

    Raises:
        ValueError: it is none, or is negative or absurdly large; the message says so.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"{value!r} is not a quantity such as 64, 500m or 256Gi")
    text = str(value).strip()
    match = _FORM.fullmatch(text)
    if match is None or len(text) > 60:
        raise ValueError(f"{text[:60]!r} is not a quantity such as 64, 500m or 256Gi")
    number, exponent, suffix = match.groups()
    found = Fraction(number) * (Fraction(f"1{exponent}") if exponent else 1)
    found *= _SUFFIXES[suffix] if suffix else 1
    if not 0 <= found <= LARGEST:
        raise ValueError(f"{text!r} is not between 0 and {LARGEST:.0e}")
    return found


def milli_up(value: Fraction) -> int:
    """Thousandths, rounded up as Kubernetes does."""
    return math.ceil(value * 1000)


def mib_up(value: Fraction) -> int:
    """Bytes as MiB, rounded up: what a pod takes."""
    return math.ceil(value / MIB)


def mib_down(value: Fraction) -> int:
    """Bytes as MiB, rounded down: what a node has."""
    return math.floor(value / MIB)
