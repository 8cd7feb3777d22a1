"""Many arrays behind one pointer.

A kernel that takes a namedtuple of forty arrays takes some three hundred scalars, in every function
and at every call: numba compiles that for minutes, and Python unpacks it for microseconds. A
*bundle* is a table of addresses and shapes instead, one row of four integers an array, which Python
makes from the namedtuple and kernels read as if it were the namedtuple: ``s.replica[r].step``. A
field is a *column*: the address of its row in the table. It can be indexed by integers from 0 on
(none is negative, none is a slice), measured with ``len`` and ``shape``, and that is all.

The table holds addresses, not arrays: whoever makes it keeps the arrays alive, and makes a new
table when one of them moves. Arrays are C-contiguous. Loads from the table are marked invariant,
so that the optimiser keeps them in registers: a table never changes while a kernel runs. With
``NUMBA_BOUNDSCHECK=1`` every index is checked.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.datamodel import models
from numba.core.extending import intrinsic, register_model
from numba.core.imputils import lower_builtin, lower_getattr_generic
from numba.core.typing.templates import (
    AbstractTemplate,
    AttributeTemplate,
    infer_getattr,
    infer_global,
    signature,
)
from numpy.typing import NDArray

#: Integers a row: address, and up to three lengths.
ROW = 4
_INT = ir.IntType(64)


def _tuple(size: int) -> Any:
    """The type of ``size`` integers."""
    return types.Tuple([types.int64] * size)


class BundleType(types.Type):
    """The numba type of a bundle: its name, and each field's name and array or bundle type."""

    def __init__(self, name: str, fields: tuple[tuple[str, Any], ...]) -> None:
        self.fields = fields
        super().__init__(name=f"bundle {name}({', '.join(f'{n}: {t}' for n, t in fields)})")

    def place(self, field: str) -> int:
        """The row of a field in the table."""
        return [name for name, _ in self.fields].index(field)


class ColumnType(types.Type):
    """The numba type of a bundle's field: an array of ``dtype``."""

    def __init__(self, dtype: Any, dimensions: int) -> None:
        self.dtype = dtype
        self.dimensions = dimensions
        super().__init__(name=f"column({dtype}, {dimensions}d)")

    @property
    def index(self) -> Any:
        """The type of an index as the kernels here compute it."""
        return types.int64 if self.dimensions == 1 else _tuple(self.dimensions)


def array_of(dtype: Any, dimensions: int = 1) -> ColumnType:
    """A field that is a C-contiguous array of ``dtype``, a NumPy dtype."""
    return ColumnType(numba.from_dtype(np.dtype(dtype)), dimensions)


def table_of(bundle: BundleType, arrays: Mapping[str, Any]) -> NDArray[np.int64]:
    """The table of arrays by field (and of tables, for fields that are bundles).

    Raises:
        TypeError: an array is not of the type that the bundle states.
    """
    table = np.zeros((len(bundle.fields), ROW), np.int64)
    for row, (name, wanted) in zip(table, bundle.fields, strict=True):
        array = arrays[name]
        if isinstance(wanted, ColumnType):
            found = numba.typeof(array)
            if (found.dtype, found.ndim, found.layout) != (wanted.dtype, wanted.dimensions, "C"):
                raise TypeError(f"{name} is {found}, not {wanted}")
        row[0] = array.ctypes.data
        row[1 : 1 + array.ndim] = array.shape
    return table


class _PointerModel(models.PrimitiveModel):
    """A bundle travels as the address of its table, a column as that of its row in it."""

    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _INT.as_pointer())


register_model(BundleType)(_PointerModel)
register_model(ColumnType)(_PointerModel)


# ---- fields ----------------------------------------------------------------------------------


@infer_getattr
class _BundleAttributes(AttributeTemplate):
    """``s.field`` has the type that the bundle states."""

    key = BundleType

    def generic_resolve(self, bundle: BundleType, field: str) -> Any:
        return dict(bundle.fields).get(field)


def _load(builder: Any, row: Any, place: int) -> Any:
    """An integer of a row of the table."""
    value = builder.load(builder.gep(row, [_INT(place)]))
    value.set_metadata("invariant.load", builder.module.add_metadata([]))
    return value


@lower_getattr_generic(BundleType)
def _get_field(context: Any, builder: Any, bundle: BundleType, table: Any, field: str) -> Any:
    row = builder.gep(table, [_INT(bundle.place(field) * ROW)])
    if isinstance(dict(bundle.fields)[field], BundleType):
        return builder.inttoptr(_load(builder, row, 0), _INT.as_pointer())
    return row


# ---- columns ---------------------------------------------------------------------------------


@infer_getattr
class _ColumnAttributes(AttributeTemplate):
    """``s.field.shape``."""

    key = ColumnType

    def resolve_shape(self, column: ColumnType) -> Any:
        return _tuple(column.dimensions)


@lower_getattr_generic(ColumnType)
def _get_shape(context: Any, builder: Any, column: ColumnType, row: Any, field: str) -> Any:
    lengths = [_load(builder, row, 1 + axis) for axis in range(column.dimensions)]
    return context.make_tuple(builder, _tuple(column.dimensions), lengths)


@infer_global(len)
class _Length(AbstractTemplate):
    def generic(self, arguments: Any, _: Any) -> Any:
        if len(arguments) == 1 and isinstance(arguments[0], ColumnType):
            return signature(types.int64, arguments[0])
        return None


@lower_builtin(len, ColumnType)
def _length(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
    return _load(builder, arguments[0], 1)


@infer_global(operator.getitem)
class _GetItem(AbstractTemplate):
    def generic(self, arguments: Any, _: Any) -> Any:
        if len(arguments) == 2 and isinstance(arguments[0], ColumnType):
            return signature(arguments[0].dtype, arguments[0], arguments[0].index)
        return None


@infer_global(operator.setitem)
class _SetItem(AbstractTemplate):
    def generic(self, arguments: Any, _: Any) -> Any:
        if len(arguments) == 3 and isinstance(arguments[0], ColumnType):
            column = arguments[0]
            return signature(types.none, column, column.index, column.dtype)
        return None


def _item(context: Any, builder: Any, column: ColumnType, row: Any, index: Any) -> Any:
    """The address of an item."""
    axes = [index]
    if column.dimensions > 1:
        axes = [builder.extract_value(index, axis) for axis in range(column.dimensions)]
    if numba.config.BOUNDSCHECK:
        _check(context, builder, column, row, axes)
    place = axes[0]
    for axis, each in enumerate(axes[1:], start=2):
        place = builder.add(builder.mul(place, _load(builder, row, axis)), each)
    kind = context.get_data_type(column.dtype)
    offset = builder.mul(place, _INT(context.get_abi_sizeof(kind)))
    start = builder.inttoptr(_load(builder, row, 0), ir.IntType(8).as_pointer())
    return builder.bitcast(builder.gep(start, [offset]), kind.as_pointer())


def _check(context: Any, builder: Any, column: ColumnType, row: Any, axes: Any) -> None:
    """Raise IndexError where an index is out of bounds."""
    for axis, each in enumerate(axes):
        outside = builder.icmp_unsigned(">=", each, _load(builder, row, 1 + axis))
        with builder.if_then(outside, likely=False):
            message = (f"an index is beyond axis {axis} of {column}"[:200],)
            context.call_conv.return_user_exc(builder, IndexError, message)


@lower_builtin(operator.getitem, ColumnType, types.Any)
def _get_item(context: Any, builder: Any, signed: Any, arguments: Any) -> Any:
    column = signed.args[0]
    address = _item(context, builder, column, *arguments)
    return context.unpack_value(builder, column.dtype, address)


@lower_builtin(operator.setitem, ColumnType, types.Any, types.Any)
def _set_item(context: Any, builder: Any, signed: Any, arguments: Any) -> Any:
    column = signed.args[0]
    address = _item(context, builder, column, *arguments[:2])
    context.pack_value(builder, column.dtype, arguments[2], address)
    return context.get_dummy_value()


def opener(bundle: BundleType) -> Any:
    """A function for kernels: the bundle behind a table."""

    def open_table(typing_context: Any, table: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            return array.data

        return bundle(types.Array(types.int64, 2, "C")), generate

    return intrinsic(open_table)
