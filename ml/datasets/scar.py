"""Files of scar (.npz), one per patient, slices from base to apex.

Either LGE images with what was drawn on them, which `ml.lge_slices` brings to the common frame,

    image            (n, height, width) in any unit
    myocardium       (n, height, width) 0 or 1
    insertion_point  (n, 2) or (2,) row and column in pixels
    pixel_mm         side of a pixel, or (2,) height and width
    scar             (n, height, width) 0 or 1; may be missing

or `slices` (n, 2, height, width) as `SlidingScarClassifier` reads them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.lge_slices import DrawScar, Float32, LgeSlices, lge_slices

_READY, _SCAR = "slices", "scar"
_FEWEST, _MOST = 3, 10  # published
_NEEDED = ("image", "myocardium", "insertion_point", "pixel_mm")


def read_slices(path: Path, draw: DrawScar | None = None) -> Float32:
    """(n, 2, height, width) myocardium and scar of a file of either kind; n is 3 to 10.

    Args:
        path: the file.
        draw: what draws the scar where the file has none, such as `predict` of a trained `ScarSegmenter`, or `bright_scar`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: in one line, naming the file, if it holds something else, or its slices cannot be used.
    """
    with _named(path):
        arrays = _arrays(path)
        if _READY in arrays:
            slices = np.asarray(arrays[_READY], dtype=np.float32)
            if slices.ndim != 4 or slices.shape[1] != 2:
                raise ValueError(f"{_READY} has shape {slices.shape}, need (slices, 2, height, width)")
        else:
            slices = _in_common_frame(arrays).for_sliding_scar(draw)
        if not _FEWEST <= len(slices) <= _MOST:
            raise ValueError(
                f"{len(slices)} slices, need {_FEWEST} to {_MOST}; leave out some, the same way in all patients"
            )
        return slices


def read_lge(path: Path) -> LgeSlices:
    """The slices of a file with LGE images, in the common frame.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: in one line, naming the file, if it holds something else, or its slices cannot be used.
    """
    with _named(path):
        return _in_common_frame(_arrays(path))


def stacked(patients: Sequence[Float32]) -> Float32:
    """(n, slices, 2, height, width); slices that a patient lacks are NaN.

    Raises:
        ValueError: if the sizes differ.
    """
    sizes = sorted({slices.shape[2:] for slices in patients})
    if len(sizes) > 1:
        raise ValueError(f"scar slices of {sizes[0]} and {sizes[1]} pixels; bring all to one size")
    every = np.full((len(patients), max(map(len, patients)), 2, *sizes[0]), np.nan, dtype=np.float32)
    for i, slices in enumerate(patients):
        every[i, : len(slices)] = slices
    return every


def _in_common_frame(arrays: dict[str, NDArray[Any]]) -> LgeSlices:
    missing = [name for name in _NEEDED if name not in arrays]
    if missing:
        raise ValueError(
            f"no array {', '.join(missing)}; need {', '.join(_NEEDED)} of LGE images, or {_READY} that are ready"
        )
    image, myocardium, insertion_point, pixel_mm = (arrays[name] for name in _NEEDED)
    return lge_slices(image, myocardium, insertion_point, pixel_mm, arrays.get(_SCAR))


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        raise FileNotFoundError(f"no file {path.name}")
    try:
        # Opened here: of a damaged file, numpy would leave it open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except Exception as error:  # zipfile and numpy let through whatever a damaged file leads to
        raise ValueError(f"no .npz file of plain arrays: {error}") from None


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError) as error:  # a TypeError where an array holds text
        raise ValueError(f"{path.name}: {error}") from None
