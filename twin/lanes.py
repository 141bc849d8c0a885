# ruff: noqa: ARG001 - numba looks at the names of what a body is not given
"""Sixteen float32 side by side, as one value inside numba kernels.

LLVM knows vectors of any length and cuts them to what the processor has: one register with AVX-512, two with AVX2, four
with SSE or NEON. No operation here names a processor, and none is reordered or contracted, so that each lane gets what
float32 arithmetic gives one number. (Numba's own loops over sixteen numbers are unrolled before LLVM could vectorise them.)

    x = load(values, at)          # the sixteen numbers values[at:at + 16]
    y = lowest(x, x * spread(values, 3) + x)
    save(y, values, at)
    if any_lane(y < x): ...
"""

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

LANES = 16
_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_BITS = ir.VectorType(ir.IntType(1), LANES)


class _Lanes(types.Type):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(name="Lanes16")


class _Mask(types.Type):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(name="LaneMask16")


_LANES, _MASK = _Lanes(), _Mask()


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


@register_model(_Mask)
class _MaskModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _BITS)


def _binary(sign: Any, result: Any, emit: Callable[[Any, Any, Any], Any], kind: Any = _LANES) -> None:
    @intrinsic
    def call(_: Any, a: Any, b: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return emit(builder, *arguments)

        return result(kind, kind), build

    # A lambda: numba wants the two to agree in their annotations, too.
    overload(sign)(lambda a, b: (lambda a, b: call(a, b)) if a == kind and b == kind else None)


_binary(operator.add, _LANES, lambda b, x, y: b.fadd(x, y))
_binary(operator.sub, _LANES, lambda b, x, y: b.fsub(x, y))
_binary(operator.mul, _LANES, lambda b, x, y: b.fmul(x, y))
_binary(operator.lt, _MASK, lambda b, x, y: b.fcmp_ordered("<", x, y))
_binary(operator.le, _MASK, lambda b, x, y: b.fcmp_ordered("<=", x, y))
_binary(operator.and_, _MASK, lambda b, x, y: b.and_(x, y), _MASK)


def _address(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.gep(data, [index])


@intrinsic
def load(_: Any, array: Any, index: Any) -> Any:
    """array[index:index + 16] of a flat float32 array."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _address(context, builder, signature.args[0], *arguments)
        return builder.load(builder.bitcast(place, _VECTOR.as_pointer()), align=4)

    return _LANES(array, types.intp), build


@intrinsic
def save(_: Any, lanes: Any, array: Any, index: Any) -> Any:
    """array[index:index + 16] = lanes."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _address(context, builder, signature.args[1], *arguments[1:])
        builder.store(arguments[0], builder.bitcast(place, _VECTOR.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(_LANES, array, types.intp), build


@intrinsic
def spread(_: Any, number: Any) -> Any:
    """The same number in every lane."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), arguments[0], ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return builder.shuffle_vector(one, ir.Constant(_VECTOR, ir.Undefined), zeros)

    return _LANES(types.float32), build


@intrinsic
def where(_: Any, mask: Any, a: Any, b: Any) -> Any:
    """Lane by lane a where the mask is true, else b."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(*arguments)

    return _LANES(_MASK, _LANES, _LANES), build


@intrinsic
def lowest(_: Any, a: Any, b: Any) -> Any:
    """The lesser of the two, lane by lane."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(builder.fcmp_ordered("<", *arguments), *arguments)

    return _LANES(_LANES, _LANES), build


@intrinsic
def root(_: Any, a: Any) -> Any:
    """Square roots."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_VECTOR, [_VECTOR])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.sqrt.v{LANES}f32"), arguments)

    return _LANES(_LANES), build


@intrinsic
def any_lane(_: Any, mask: Any) -> Any:
    """Whether the mask is true anywhere."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.bitcast(arguments[0], ir.IntType(LANES))
        return builder.icmp_unsigned("!=", bits, ir.IntType(LANES)(0))

    return types.boolean(_MASK), build
