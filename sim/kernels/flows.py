"""When flows that share links are complete, at max-min fair rates: a list of flows at once.

``sim.kernels.flow_network`` is the same solver step by step, ``docs/flows.md`` the model.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.kernels.flow_events import NO_LINK, check_paths, run
from sim.kernels.flow_state import Floats, Ints, new_flows, table_of_flows

#: Blocks of members: the smallest, and how much doubling wastes.
_LEAST, _WASTE = 4, 4
#: Numbers of links that go so many times beyond the hops of all paths are numbered anew.
_SPARSE = 8
_INT_MAX = np.iinfo(np.int64).max


def complete_flows(
    start_s: ArrayLike,
    size_bytes: ArrayLike,
    link_ptr: ArrayLike,
    link_idx: ArrayLike,
    capacity_bytes_per_s: ArrayLike,
) -> Floats:
    """Completion times of flows that share links at max-min fair rates.

    Every flow has its path and its bytes from its start on, and at any time the max-min fair rate
    among the flows in flight. There is no latency. A flow without bytes or without links is
    complete when it starts.

    Args:
        start_s: [n] in any order.
        size_bytes: [n] bytes, not negative.
        link_ptr: [n + 1] flow i crosses ``link_idx[link_ptr[i]:link_ptr[i + 1]]``.
        link_idx: directed links, numbered from 0; none twice in one path.
        capacity_bytes_per_s: [links] bytes/s, above 0; or a number, which all links have.

    Returns:
        [n] absolute times, s; infinite where no float is as late.

    Raises:
        ValueError: an array has another shape or kind than it should, or a value that makes no
            sense. The message names the array, the place and the value.
    """
    starts = _floats("start_s", start_s)
    sizes = _floats("size_bytes", size_bytes)
    ptr = _integers("link_ptr", link_ptr)
    idx = _integers("link_idx", link_idx)
    n = len(starts)
    if len(sizes) != n:
        raise ValueError(f"size_bytes has {len(sizes)} values for {n} flows in start_s")
    if (negative := np.flatnonzero(sizes < 0.0)).size:
        i = int(negative[0])
        raise ValueError(f"size_bytes[{i}] is {sizes[i]}; sizes are 0 or more")
    capacity, numbered = _capacities(capacity_bytes_per_s, idx)
    _check_paths(n, ptr, numbered, len(capacity), idx)
    idx = numbered
    return complete_checked(starts, sizes, ptr, idx, capacity)


def complete_checked(
    start_s: Floats, size_bytes: Floats, link_ptr: Ints, link_idx: Ints, capacity: Floats,
    afresh: bool = False,
) -> Floats:  # fmt: skip
    """``complete_flows`` of arrays of the right type, which are not checked.

    ``afresh`` finds every rate from nothing at every event, to measure what it saves not to.
    """
    finish = start_s.copy()
    order = np.flatnonzero((size_bytes > 0.0) & (np.diff(link_ptr) > 0))
    order = order[np.argsort(start_s[order], kind="stable")]
    if len(order) == 0:
        return finish
    finish[order] = np.inf
    members = _WASTE * len(link_idx) + _LEAST * len(capacity)
    flows = new_flows(capacity, len(order), int(np.diff(link_ptr).max()), members, capped=False)
    table = table_of_flows(flows)
    run(table, order, start_s, size_bytes, link_ptr, link_idx, finish, afresh)
    return finish


def _floats(name: str, given: ArrayLike, of: str = "flow") -> Floats:
    """One axis of finite numbers, one for each ``of``."""
    array = _array(name, given)
    if array.ndim != 1:
        raise ValueError(
            f"{name} has shape {array.shape}; it takes one axis, a value for each {of}"
        )
    if array.size and array.dtype.kind not in "iuf":
        raise ValueError(f"{name} holds {array.dtype}; it takes numbers")
    array = np.ascontiguousarray(array, np.float64)
    if not np.isfinite(array).all():
        i = int(np.flatnonzero(~np.isfinite(array))[0])
        raise ValueError(f"{name}[{i}] is {array[i]}; it takes finite numbers")
    return array


def _array(name: str, given: ArrayLike) -> NDArray[Any]:
    """What numpy makes of an argument, if it makes anything of it and all values are there."""
    try:
        array = np.asarray(given)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} is no array of numbers: {error}") from None
    if isinstance(given, np.ma.MaskedArray) and given.mask.any():
        raise ValueError(f"{name} has masked values; it takes all of them")
    return array


def _integers(name: str, given: ArrayLike) -> Ints:
    """One axis of integers."""
    array = _array(name, given)
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}; it takes one axis")
    if array.size and array.dtype.kind not in "iu":
        raise ValueError(f"{name} holds {array.dtype}; it takes integers")
    if array.size and array.max() > _INT_MAX:
        i = int(array.argmax())
        raise ValueError(f"{name}[{i}] is {array[i]}; it takes integers of 64 bits with a sign")
    return np.ascontiguousarray(array, np.int64)


def _capacities(given: ArrayLike, idx: Ints) -> tuple[Floats, Ints]:
    """A capacity for each link; a number stands for as many links as paths name.

    Then links that no path names are nobody's, and take no memory: the rest are numbered anew.
    """
    array = _array("capacity_bytes_per_s", given)
    if array.ndim == 0:
        if array.dtype.kind not in "iuf" or not np.isfinite(array):
            raise ValueError(f"capacity_bytes_per_s is {array}; it takes finite numbers")
        _check_capacity(array.reshape(1).astype(np.float64), "capacity_bytes_per_s is")
        links = max(int(idx.max()) + 1, 0) if idx.size else 0
        if idx.size and idx.min() >= 0 and links > _SPARSE * idx.size:
            named, idx = np.unique(idx, return_inverse=True)
            links = len(named)
        return np.full(links, float(array)), idx
    capacity = _floats("capacity_bytes_per_s", array, "link")
    _check_capacity(capacity, "capacity_bytes_per_s[{}] is")
    return capacity, idx


def _check_capacity(capacity: Floats, where: str) -> None:
    if (wrong := np.flatnonzero(capacity <= 0.0)).size:
        i = int(wrong[0])
        raise ValueError(f"{where.format(i)} {capacity[i]}; capacities are above 0")


def _check_paths(n: int, ptr: Ints, idx: Ints, links: int, said: Ints) -> None:
    """Refuse what is not a list of paths over ``links`` links; messages have the ``said`` ones."""
    if len(ptr) != n + 1:
        raise ValueError(f"link_ptr has {len(ptr)} values; {n} flows take {n + 1}")
    if ptr[0] != 0 or ptr[-1] != len(idx):
        raise ValueError(
            f"link_ptr goes from {ptr[0]} to {ptr[-1]}; it takes 0 to {len(idx)}, the length of "
            "link_idx"
        )
    hops = np.diff(ptr)
    if (falling := np.flatnonzero(hops < 0)).size:
        i = int(falling[0])
        raise ValueError(f"link_ptr falls from {ptr[i]} to {ptr[i + 1]} at flow {i}")
    code, k = check_paths(ptr, idx, np.full(links, -1))
    if not code:
        return
    flow = int(np.searchsorted(ptr, k, side="right")) - 1
    if code == NO_LINK:
        known = f"links are 0 to {links - 1}" if links else "there are no links"
        raise ValueError(f"link_idx[{k}] is {said[k]}, of flow {flow}; {known}")
    raise ValueError(f"flow {flow} crosses link {said[k]} twice")
