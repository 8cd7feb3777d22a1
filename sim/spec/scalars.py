"""What a plain YAML scalar means: the core schema of YAML 1.2 (YAML 1.2.2, section 10.3.2).

``no``, ``on``, ``12:30`` and ``1_000`` are text, ``010`` is ten: nothing here guesses.
"""

from __future__ import annotations

import math
import re

from sim.spec.nodes import Scalar, shorten

_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_TRUE = frozenset(("true", "True", "TRUE"))
_FALSE = frozenset(("false", "False", "FALSE"))
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)")
_NAN = frozenset((".nan", ".NaN", ".NAN"))
_MOST_DIGITS = 400


def resolve(text: str) -> Scalar:
    """The value of a plain (unquoted) scalar.

    Raises:
        ValueError: a number that is not finite or needs more than 64 bits; the message says which.
    """
    if text in _NULL:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    for pattern, base in ((_INTEGER, 10), (_OCTAL, 8), (_HEX, 16)):
        if pattern.fullmatch(text):
            return _integer(text, base)
    if _FLOAT.fullmatch(text):
        number = float(text)
        if math.isinf(number):
            raise ValueError(f"the number {shorten(text)} is too large")
        return number
    if _INFINITE.fullmatch(text) or text in _NAN:
        raise ValueError(f"{text} is not a finite number")
    return text


def _integer(text: str, base: int) -> int:
    # Python refuses to read very long numbers at all, so length is looked at first.
    number = int(text, base) if len(text) <= _MOST_DIGITS else 2**64
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"the number {shorten(text)} needs more than 64 bits")
    return number
