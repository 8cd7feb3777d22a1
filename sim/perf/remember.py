"""What was worked out once need not be again: studies check hundreds of points with one replica."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def remembered(function: Callable[P, T], most: int = 64) -> Callable[P, T]:
    """A function without side effects that keeps its last ``most`` different results.

    Arguments count by their content (a GPU has tables in it, which have no hash), so they must be
    such as pickle takes. The result is one object for all callers, who must not change it. What is
    raised is not kept.
    """
    kept: OrderedDict[bytes, T] = OrderedDict()

    @wraps(function)
    def ask(*args: P.args, **kwargs: P.kwargs) -> T:
        key = pickle.dumps((args, kwargs))
        if key not in kept:
            kept[key] = function(*args, **kwargs)
            while len(kept) > most:
                kept.popitem(last=False)
        return kept[key]

    return ask
