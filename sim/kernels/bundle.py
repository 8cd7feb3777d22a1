"""Many arrays behind one pointer.

A kernel that takes a namedtuple of forty arrays takes some three hundred scalars, in every function
and at every call: numba compiles that for minutes, and Python unpacks it for microseconds. A
*bundle* is a table of addresses and shapes instead, a line of four integers an array, which Python
makes from the namedtuple and kernels read as if it were the namedtuple: ``s.replica[r].step``. A
field is a *column*: the address of its line in the table. It can be indexed by integers from 0 on
(none is negative, none is a slice), measured with ``len`` and ``shape``, and that is all. An item
of a record array is a *row*, which travels as its address; its fields are read and set.

The table holds addresses, not arrays: whoever makes it keeps the arrays alive, and makes a new
table when one of them moves. Arrays are C-contiguous. Loads from the table are marked invariant,
so that the optimiser keeps them in registers: a table never changes while a kernel runs. Columns
never overlap, so what is stored in one field of one layout changes no other field and no other
layout: every load and store says which it is (LLVM's type-based alias analysis), and what was read
from one record stays known while another is written. With ``NUMBA_BOUNDSCHECK=1`` every index is
checked.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.core.extending import intrinsic, register_model
from numba.core.imputils import lower_builtin, lower_getattr_generic, lower_setattr_generic
from numba.core.typing.templates import (
    AbstractTemplate,
    AttributeTemplate,
    infer_getattr,
    infer_global,
    signature,
)
from numpy.typing import NDArray

#: Integers a line: address, and up to three lengths.
LINE = 4
_INT = ir.IntType(64)
_BYTE = ir.IntType(8)
_CACHE_LINE = 64
#: Of LLVM's prefetch: a read, of what stays in the cache, of data.
_READ_DATA_SOON = (0, 3, 1)


def _tuple(size: int) -> Any:
    """The type of ``size`` integers."""
    return types.Tuple([types.int64] * size)


class BundleType(types.Type):
    """The numba type of a bundle: its name, and each field's name and array or bundle type."""

    def __init__(self, name: str, fields: tuple[tuple[str, Any], ...]) -> None:
        self.fields = fields
        super().__init__(name=f"bundle {name}({', '.join(f'{n}: {t}' for n, t in fields)})")

    def place(self, field: str) -> int:
        """The line of a field in the table."""
        return [name for name, _ in self.fields].index(field)


class RowType(types.Type):
    """The numba type of a row: an item of an array of records, by reference."""

    mutable = True

    def __init__(self, layout: np.dtype[np.void]) -> None:
        if not layout.isalignedstruct:
            raise TypeError(f"the fields of {layout} are not aligned")
        self.layout = layout
        super().__init__(name=f"row({', '.join(f'{n}: {layout[n]}' for n in layout.names or ())})")
        #: The numba type of each field and its offset, bytes.
        self.fields = {
            field: (numba.from_dtype(dtype), offset)
            for field, (dtype, offset, *_) in (layout.fields or {}).items()
        }


class ColumnType(types.Type):
    """The numba type of a bundle's field: a C-contiguous array of ``layout``, a NumPy dtype."""

    def __init__(self, layout: np.dtype[Any], dimensions: int) -> None:
        self.layout = layout
        self.dtype = RowType(layout) if layout.fields else numba.from_dtype(layout)
        self.dimensions = dimensions
        super().__init__(name=f"column({self.dtype}, {dimensions}d)")

    @property
    def index(self) -> Any:
        """The type of an index as the kernels here compute it."""
        return types.int64 if self.dimensions == 1 else _tuple(self.dimensions)


def array_of(dtype: Any, dimensions: int = 1) -> ColumnType:
    """A field that is a C-contiguous array of ``dtype``, a NumPy dtype."""
    return ColumnType(np.dtype(dtype), dimensions)


def table_of(bundle: BundleType, arrays: Mapping[str, Any]) -> NDArray[np.int64]:
    """The table of arrays by field (and of tables, for fields that are bundles).

    Raises:
        TypeError: an array is not of the type that the bundle states.
    """
    table = np.zeros((len(bundle.fields), LINE), np.int64)
    for line, (name, wanted) in zip(table, bundle.fields, strict=True):
        array = arrays[name]
        if isinstance(wanted, ColumnType) and not (
            array.dtype == wanted.layout
            and array.ndim == wanted.dimensions
            and array.flags.c_contiguous
        ):
            raise TypeError(f"{name} is {numba.typeof(array)}, not {wanted}")
        line[0] = array.ctypes.data
        line[1 : 1 + array.ndim] = array.shape
    return table


class _PointerModel(models.PrimitiveModel):
    """A bundle travels as the address of its table, a column as that of its line in it."""

    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _INT.as_pointer())


class _RowModel(models.PrimitiveModel):
    """A row travels as its address."""

    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _BYTE.as_pointer())


register_model(BundleType)(_PointerModel)
register_model(ColumnType)(_PointerModel)
register_model(RowType)(_RowModel)


# ---- fields ----------------------------------------------------------------------------------


@infer_getattr
class _BundleAttributes(AttributeTemplate):
    """``s.field`` has the type that the bundle states."""

    key = BundleType

    def generic_resolve(self, bundle: BundleType, field: str) -> Any:
        return dict(bundle.fields).get(field)


def _load(builder: Any, line: Any, place: int) -> Any:
    """An integer of a line of the table."""
    value = builder.load(builder.gep(line, [_INT(place)]))
    value.set_metadata("invariant.load", builder.module.add_metadata([]))
    return value


@lower_getattr_generic(BundleType)
def _get_field(context: Any, builder: Any, bundle: BundleType, table: Any, field: str) -> Any:
    line = builder.gep(table, [_INT(bundle.place(field) * LINE)])
    if isinstance(dict(bundle.fields)[field], BundleType):
        return builder.inttoptr(_load(builder, line, 0), _INT.as_pointer())
    return line


# ---- columns ---------------------------------------------------------------------------------


@infer_getattr
class _ColumnAttributes(AttributeTemplate):
    """``s.field.shape``."""

    key = ColumnType

    def resolve_shape(self, column: ColumnType) -> Any:
        return _tuple(column.dimensions)


@lower_getattr_generic(ColumnType)
def _get_shape(context: Any, builder: Any, column: ColumnType, line: Any, field: str) -> Any:
    lengths = [_load(builder, line, 1 + axis) for axis in range(column.dimensions)]
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


def _item(context: Any, builder: Any, column: ColumnType, line: Any, index: Any) -> Any:
    """The address of an item that is there."""
    if numba.config.BOUNDSCHECK:
        _check(context, builder, column, line, _axes(builder, column, index))
    return _address(builder, column, line, index)


def _axes(builder: Any, column: ColumnType, index: Any) -> list[Any]:
    """An index as one integer an axis."""
    if column.dimensions == 1:
        return [index]
    return [builder.extract_value(index, axis) for axis in range(column.dimensions)]


def _address(builder: Any, column: ColumnType, line: Any, index: Any) -> Any:
    """Where an item is, or would be."""
    place, *others = _axes(builder, column, index)
    for axis, each in enumerate(others, start=2):
        place = builder.add(builder.mul(place, _load(builder, line, axis)), each)
    offset = builder.mul(place, _INT(column.layout.itemsize))
    start = builder.inttoptr(_load(builder, line, 0), _BYTE.as_pointer())
    return builder.gep(start, [offset])


def _check(context: Any, builder: Any, column: ColumnType, line: Any, axes: Any) -> None:
    """Raise IndexError where an index is out of bounds."""
    for axis, each in enumerate(axes):
        outside = builder.icmp_unsigned(">=", each, _load(builder, line, 1 + axis))
        with builder.if_then(outside, likely=False):
            message = (f"an index is beyond axis {axis} of {column}"[:200],)
            context.call_conv.return_user_exc(builder, IndexError, message)


@lower_builtin(operator.getitem, ColumnType, types.Any)
def _get_item(context: Any, builder: Any, signed: Any, arguments: Any) -> Any:
    column = signed.args[0]
    address = _item(context, builder, column, *arguments)
    if isinstance(column.dtype, RowType):
        return address
    return _read(context, builder, column.dtype, address, str(column))


@lower_builtin(operator.setitem, ColumnType, types.Any, types.Any)
def _set_item(context: Any, builder: Any, signed: Any, arguments: Any) -> Any:
    column = signed.args[0]
    address = _item(context, builder, column, *arguments[:2])
    _write(context, builder, column.dtype, address, arguments[2], str(column))
    return context.get_dummy_value()


# ---- rows ------------------------------------------------------------------------------------


@infer_getattr
class _RowAttributes(AttributeTemplate):
    """``row.field`` has the type that the layout states."""

    key = RowType

    def generic_resolve(self, row: RowType, field: str) -> Any:
        return row.fields.get(field, (None,))[0]


@lower_getattr_generic(RowType)
def _get_row_field(context: Any, builder: Any, row: RowType, address: Any, field: str) -> Any:
    kind, offset = row.fields[field]
    place = builder.gep(address, [_INT(offset)])
    return _read(context, builder, kind, place, f"{field} of {row}")


@lower_setattr_generic(RowType)
def _set_row_field(context: Any, builder: Any, signed: Any, arguments: Any, field: str) -> None:
    row = signed.args[0]
    kind, offset = row.fields[field]
    place = builder.gep(arguments[0], [_INT(offset)])
    _write(context, builder, kind, place, arguments[1], f"{field} of {row}")


# ---- memory ----------------------------------------------------------------------------------


def _read(context: Any, builder: Any, kind: Any, address: Any, what: str) -> Any:
    """The value at ``address``; ``what`` names the memory that it is in."""
    pointer = builder.bitcast(address, context.get_data_type(kind).as_pointer())
    data = builder.load(pointer)
    _say(builder, data, what)
    return context.data_model_manager[kind].from_data(builder, data)


def _write(context: Any, builder: Any, kind: Any, address: Any, value: Any, what: str) -> None:
    """Store a value at ``address``; ``what`` names the memory that it is in."""
    pointer = builder.bitcast(address, context.get_data_type(kind).as_pointer())
    data = context.data_model_manager[kind].as_data(builder, value)
    _say(builder, builder.store(data, pointer), what)


def _say(builder: Any, access: Any, what: str) -> None:
    """Tell the optimiser which memory is accessed: no other ``what`` overlaps it."""
    module = builder.module
    root = module.add_metadata([ir.MetaDataString(module, "rackplan")])
    name = ir.MetaDataString(module, what)
    kind = module.add_metadata([name, root, _INT(0)])
    access.set_metadata("tbaa", module.add_metadata([kind, kind, _INT(0)]))


@intrinsic
def prefetch(typing_context: Any, column: Any, index: Any) -> Any:
    """For kernels: bring the item of a column at ``index`` into the cache; any index will do.

    It changes nothing but time. Worth it where the item is needed soon, though not at once, and
    nobody has looked at it for long: memory answers in the time of a hundred operations.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        column = signature.args[0]
        item = _address(builder, column, *arguments)
        kind = ir.FunctionType(ir.VoidType(), [_BYTE.as_pointer(), *3 * [ir.IntType(32)]])
        call = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        for offset in range(0, column.layout.itemsize, _CACHE_LINE):
            place = builder.gep(item, [_INT(offset)])
            builder.call(call, [place, *(ir.IntType(32)(mode) for mode in _READ_DATA_SOON)])
        return context.get_dummy_value()

    return types.none(column, column.index), generate


def opener(bundle: BundleType) -> Any:
    """A function for kernels: the bundle behind a table."""

    def open_table(typing_context: Any, table: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            return array.data

        return bundle(types.Array(types.int64, 2, "C")), generate

    return intrinsic(open_table)
