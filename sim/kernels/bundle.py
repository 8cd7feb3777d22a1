"""Many arrays behind one pointer.

A kernel that takes a namedtuple of forty arrays takes some three hundred scalars, in every function
and at every call: numba compiles that for minutes, and Python unpacks it for microseconds. A
*bundle* is a table of addresses and shapes instead, one row of four integers an array, which Python
makes from the namedtuple and kernels read as if it were the namedtuple: ``s.replica[r]``.

The table holds addresses, not arrays: whoever makes it keeps the arrays alive, and makes a new
table when one of them moves. Arrays are C-contiguous. Loads from the table are marked invariant,
so that the optimiser keeps them in registers: a table never changes while a kernel runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.datamodel import models
from numba.core.extending import intrinsic, register_model
from numba.core.imputils import lower_getattr_generic
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr
from numba.np.arrayobj import populate_array
from numpy.typing import NDArray

#: Integers a row: address, and up to three lengths.
ROW = 4
_INT = ir.IntType(64)


class BundleType(types.Type):
    """The numba type of a bundle: its name, and each field's name and array or bundle type."""

    def __init__(self, name: str, fields: tuple[tuple[str, Any], ...]) -> None:
        self.fields = fields
        super().__init__(name=f"bundle {name}({', '.join(f'{n}: {t}' for n, t in fields)})")

    def place(self, field: str) -> int:
        """The row of a field in the table."""
        return [name for name, _ in self.fields].index(field)


def array_of(dtype: Any, dimensions: int = 1) -> Any:
    """The type of a C-contiguous array of ``dtype``, a NumPy dtype."""
    return types.Array(numba.from_dtype(np.dtype(dtype)), dimensions, "C", aligned=True)


def table_of(bundle: BundleType, arrays: Mapping[str, Any]) -> NDArray[np.int64]:
    """The table of arrays by field (and of tables, for fields that are bundles).

    Raises:
        TypeError: an array is not of the type that the bundle states.
    """
    table = np.zeros((len(bundle.fields), ROW), np.int64)
    for row, (name, wanted) in zip(table, bundle.fields, strict=True):
        array = arrays[name]
        if not isinstance(wanted, BundleType) and numba.typeof(array) != wanted:
            raise TypeError(f"{name} is {numba.typeof(array)}, not {wanted}")
        row[0] = array.ctypes.data
        row[1 : 1 + array.ndim] = array.shape
    return table


@register_model(BundleType)
class _BundleModel(models.PrimitiveModel):
    """A bundle travels as the address of its table."""

    def __init__(self, manager: Any, bundle: BundleType) -> None:
        super().__init__(manager, bundle, _INT.as_pointer())


@infer_getattr
class _BundleAttributes(AttributeTemplate):
    """``s.field`` has the type that the bundle states."""

    key = BundleType

    def generic_resolve(self, bundle: BundleType, field: str) -> Any:
        return dict(bundle.fields).get(field)


def _load(builder: Any, table: Any, row: int, column: int) -> Any:
    """An integer of the table."""
    value = builder.load(builder.gep(table, [_INT(row * ROW + column)]))
    value.set_metadata("invariant.load", builder.module.add_metadata([]))
    return value


@lower_getattr_generic(BundleType)
def _get_field(context: Any, builder: Any, bundle: BundleType, table: Any, field: str) -> Any:
    row, wanted = bundle.place(field), dict(bundle.fields)[field]
    address = _load(builder, table, row, 0)
    if isinstance(wanted, BundleType):
        return builder.inttoptr(address, _INT.as_pointer())
    data_type = context.get_data_type(wanted.dtype)
    item_bytes = context.get_abi_sizeof(data_type)
    shape = [_load(builder, table, row, 1 + axis) for axis in range(wanted.ndim)]
    strides = [_INT(item_bytes)]
    for length in reversed(shape[1:]):
        strides.insert(0, builder.mul(strides[0], length))
    array = context.make_array(wanted)(context, builder)
    populate_array(
        array,
        data=builder.inttoptr(address, data_type.as_pointer()),
        shape=shape,
        strides=strides,
        itemsize=_INT(item_bytes),
        meminfo=None,
    )
    return array._getvalue()


def opener(bundle: BundleType) -> Any:
    """A function for kernels: the bundle behind a table."""

    def open_table(typing_context: Any, table: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            return array.data

        return bundle(types.Array(types.int64, 2, "C")), generate

    return intrinsic(open_table)
