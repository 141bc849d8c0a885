"""Arrays as this project passes them around: C order, float64 or int32, read-only once a public type holds them."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]
Int = NDArray[np.int32]
Byte = NDArray[np.int8]
Bool = NDArray[np.bool_]


def frozen(values: ArrayLike, dtype: Any, *, name: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
    """A read-only copy of `values`, C order, checked against `shape` (None: any length).

    Raises:
        ValueError: if the shape differs, a float is not finite or a whole number does not fit; names the first offender.
    """
    array = np.array(values, dtype=dtype, order="C")
    if np.issubdtype(array.dtype, np.integer) and not np.array_equal(array, np.asarray(values)):
        raise ValueError(f"{name} must hold whole numbers within {np.iinfo(dtype).min}..{np.iinfo(dtype).max}")
    if array.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape, array.shape, strict=True)):
        wanted = tuple("n" if want is None else want for want in shape)
        raise ValueError(f"{name} has shape {array.shape}, need {wanted}")
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        bad = np.argwhere(~np.isfinite(array))
        where = ", ".join(str(i) for i in bad[0])
        raise ValueError(f"{name}[{where}] is not a finite number ({len(bad)} of {array.size} values are not)")
    array.flags.writeable = False
    return array
