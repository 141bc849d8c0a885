"""Short-axis slices of late gadolinium enhancement (LGE), brought to one frame in which patients can be compared.

Published (Le): pixels normalised by minimum and maximum within the myocardium, slices turned about the centre of the left
ventricle so that the insertion point looks down, scar drawn as a binary mask within the myocardium, two channels
(myocardium, scar) of 128 x 128. Not published, so our choice:

    frame           1 mm per pixel, the centre in the middle; images are turned, never mirrored
    normalised      slice by slice, before turning; outside the myocardium everything is 0
    centre          of the convex hull of a slice's myocardium, which a gap in the ring hardly moves
    insertion       the same one in all patients; our virtual slices have the inferior one
    interpolation   linear, among the pixels of the myocardium alone: bright blood does not leak in; masks where more than
                    half of a pixel is covered

Arrays only, no DICOM. Places are (row, column), in pixels where nothing else is said; the middle of the first pixel is
(0, 0). Units: mm.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import affine_transform
from scipy.spatial import ConvexHull, QhullError

Float = NDArray[np.float64]
Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]
DrawScar: TypeAlias = Callable[[Float32], Bool]
"""(n, 2, height, width) of normalised image and myocardium to (n, height, width) masks, such as `ScarSegmenter.predict`."""

PIXELS, PIXEL_MM = 128, 1.0
_MIDDLE = (PIXELS - 1) / 2
_LEAST_PIXEL_MM, _MOST_PIXEL_MM = 0.1, 5.0


@dataclass(frozen=True, kw_only=True, eq=False)
class LgeSlices:
    """The slices of one patient in the common frame, in the order they came in (base to apex).

    Attributes:
        image: (n, 128, 128) from 0 to 1 within the myocardium, 0 outside.
        myocardium: (n, 128, 128) mask.
        scar: (n, 128, 128) mask within the myocardium; None where nobody has drawn it.
    """

    image: Float32
    myocardium: Bool
    scar: Bool | None

    def for_segmenter(self) -> Float32:
        """(n, 2, 128, 128) image and myocardium, as `ScarSegmenter(within_myocardium=True)` reads them."""
        return np.stack([self.image, self.myocardium], axis=1, dtype=np.float32)

    def for_sliding_scar(self, draw: DrawScar | None = None) -> Float32:
        """(n, 2, 128, 128) myocardium and scar, as `SlidingScarClassifier` reads them.

        Args:
            draw: what draws the scar where it is not given.

        Raises:
            ValueError: if there is neither scar nor `draw`, or what it draws does not fit.
        """
        scar = self.scar
        if scar is None:
            if draw is None:
                raise ValueError("no scar; add its masks, or say what draws it (draw=)")
            scar = _mask("the scar drawn", draw(self.for_segmenter()), self.myocardium.shape) & self.myocardium
        return np.stack([self.myocardium, scar], axis=1, dtype=np.float32)


def lge_slices(
    image: ArrayLike,
    myocardium: ArrayLike,
    insertion_point: ArrayLike,
    pixel_mm: ArrayLike,
    scar: ArrayLike | None = None,
) -> LgeSlices:
    """Bring the slices of one patient to the common frame.

    Args:
        image: (n, height, width) LGE in any unit, base to apex, all seen from the same side.
        myocardium: (n, height, width) masks of the left ventricle's muscle; see `myocardium_between` for contours.
        insertion_point: (n, 2), or (2,) for all slices, where the right ventricle's wall meets the left.
        pixel_mm: the side of a pixel, or (2,) height and width of one.
        scar: (n, height, width) masks; what lies outside the myocardium is none.

    Raises:
        ValueError: in one line, if the arrays do not fit each other, a slice has no myocardium or is flat within it, an
            insertion point is missing, outside the image or in the cavity, or `pixel_mm` cannot be right.
    """
    pixels = np.asarray(image, dtype=np.float64)
    if pixels.ndim != 3 or 0 in pixels.shape:
        raise ValueError(f"image has shape {pixels.shape}, need (slices, height, width)")
    muscle = _mask("myocardium", myocardium, pixels.shape)
    drawn = None if scar is None else _mask("scar", scar, pixels.shape)
    points = _points(insertion_point, pixels.shape)
    size = _pixel_size(pixel_mm)
    normalised = range_within(pixels, muscle)

    images, masks, scars = (np.zeros((len(pixels), PIXELS, PIXELS)) for _ in range(3))
    for i, inside in enumerate(muscle):
        matrix, offset = _to_pixels(i, inside, points[i], size)
        share = _resampled(inside, matrix, offset)
        masks[i] = share > 0.5
        if not masks[i].any():
            raise ValueError(
                f"the myocardium of slice {i} is smaller than a pixel of {PIXEL_MM:g} mm; look at pixel_mm"
            )
        weight = np.where(masks[i] > 0, share, np.inf)
        images[i] = _resampled(normalised[i], matrix, offset) / weight
        if drawn is not None:
            scars[i] = _resampled(drawn[i] & inside, matrix, offset) / weight > 0.5
    return LgeSlices(
        image=images.clip(0, 1).astype(np.float32),
        myocardium=masks > 0,
        scar=None if drawn is None else scars > 0,
    )


def range_within(image: ArrayLike, inside: Bool) -> Float32:
    """(n, height, width) slices from 0 to 1 by their minimum and maximum inside (n, height, width) masks; 0 outside.

    Raises:
        ValueError: if a slice has no pixel inside, is flat there, or not finite.
    """
    ready = np.zeros(inside.shape, dtype=np.float32)
    for i, (pixels, mask) in enumerate(zip(np.asarray(image), inside, strict=True)):
        values = pixels[mask]
        if values.size == 0:
            raise ValueError(f"slice {i} has no myocardium; leave out the slices without contours")
        if not np.isfinite(values).all():
            bad = int((~np.isfinite(values)).sum())
            raise ValueError(f"slice {i} has {bad} pixels within the myocardium that are not finite; leave it out")
        if np.ptp(values) == 0:
            raise ValueError(f"slice {i} is flat within the myocardium; leave out slices without an image")
        ready[i][mask] = (values - values.min()) / np.ptp(values)
    return ready


def bright_scar(slices: Float32, deviations: float = 5.0) -> Bool:
    """(n, height, width) masks of what is much brighter than remote muscle; a `DrawScar` that needs no training.

    Scar is what lies above mean + 5 standard deviations of remote muscle, a rule that drew as much scar as an observer
    [Flett 2010, doi:10.1186/1532-429X-12-S1-O41]. There a human chose the remote muscle. Here, our choice, it is the
    darker half of a slice's myocardium: its brightest value stands for the mean, and the root mean square below that for
    the deviation, both right where there is no scar. So scar that fills more than half of a slice is missed.

    Args:
        slices: (n, 2, height, width) of image and myocardium, see `LgeSlices.for_segmenter`.
        deviations: how many.
    """
    scar = np.zeros((len(slices), *slices.shape[2:]), dtype=np.bool_)
    for i, (image, mask) in enumerate(zip(slices[:, 0], slices[:, 1] > 0, strict=True)):
        middle = np.median(image[mask])
        deviation = np.sqrt(np.square(image[mask & (image <= middle)] - middle).mean())
        scar[i] = mask & (image > middle + deviations * deviation)
    return scar


def myocardium_between(epicardium: ArrayLike, endocardium: ArrayLike, shape: tuple[int, int]) -> Bool:
    """(height, width) mask of a slice: the pixels whose middle lies within one contour and outside the other.

    Args:
        epicardium: (k, 2) corners of a closed line, in order.
        endocardium: (m, 2) the same.
        shape: height and width of the image.

    Raises:
        ValueError: if a contour has fewer than 3 corners or leaves the image, or the endocardium leaves the epicardium.
    """
    outer, inner = (
        _within(name, np.asarray(line, dtype=np.float64), shape)
        for name, line in (("epicardium", epicardium), ("endocardium", endocardium))
    )
    if (inner & ~outer).any():
        raise ValueError(
            f"{(inner & ~outer).sum()} pixels lie within the endocardium and outside the epicardium; are they swapped?"
        )
    return outer & ~inner


def _within(name: str, line: Float, shape: tuple[int, int]) -> Bool:
    if line.ndim != 2 or line.shape[1] != 2 or len(line) < 3:
        raise ValueError(f"{name} has shape {line.shape}, need (3 or more corners, 2)")
    outside = ~((line >= -0.5) & (line <= np.array(shape) - 0.5)).all(axis=1)
    if outside.any():
        raise ValueError(
            f"{name}: corner {line[outside][0].tolist()} lies outside the image of {shape} pixels ({outside.sum()} of "
            f"{len(line)} do); corners are (row, column) in pixels"
        )
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    within = np.zeros(shape, dtype=np.bool_)
    for (row, column), (next_row, next_column) in zip(line, np.roll(line, -1, axis=0), strict=True):
        if row != next_row:
            crossing = column + (rows - row) / (next_row - row) * (next_column - column)
            within ^= ((rows >= row) != (rows >= next_row)) & (columns < crossing)
    return within


def _to_pixels(i: int, inside: Bool, point: Float, size: Float) -> tuple[Float, Float]:
    """Matrix and offset that lead from places of the common frame to those of slice i."""
    muscle = np.argwhere(inside) * size
    centre = _centre(i, muscle)
    arm = point * size - centre
    distances, length = np.linalg.norm(muscle - centre, axis=1), float(np.linalg.norm(arm))
    if length <= distances.min():
        raise ValueError(
            f"the insertion point of slice {i}, {point.tolist()}, lies {length:.3g} mm from the centre, within the cavity; "
            "it is (row, column) in pixels"
        )
    if distances.max() > _MIDDLE * PIXEL_MM:
        raise ValueError(
            f"the myocardium of slice {i} reaches {distances.max():.0f} mm from its centre, the common frame "
            f"{_MIDDLE * PIXEL_MM:.0f} mm; look at pixel_mm and at stray pixels of the mask"
        )
    down_row, down_column = arm / length
    turn = np.array([[down_row, -down_column], [down_column, down_row]])
    matrix = PIXEL_MM * turn / size[:, None]
    return matrix, centre / size - matrix @ [_MIDDLE, _MIDDLE]


def _centre(i: int, places: Float) -> Float:
    """(2,) centroid of the convex hull."""
    try:
        corners = places[ConvexHull(places).vertices]
    except (QhullError, ValueError):
        raise ValueError(f"the myocardium of slice {i} has {len(places)} pixels in one line; draw it again") from None
    first = corners[0]  # as the origin, for precision
    one, two = corners - first, np.roll(corners, -1, axis=0) - first
    areas = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]
    centre: Float = first + areas @ (one + two) / (3 * areas.sum())
    return centre


def _resampled(values: NDArray[np.generic], matrix: Float, offset: Float) -> Float:
    resampled: Float = affine_transform(
        values.astype(np.float64), matrix, offset, output_shape=(PIXELS, PIXELS), order=1, mode="grid-constant"
    )
    return resampled


def _mask(name: str, values: ArrayLike, shape: tuple[int, ...]) -> Bool:
    mask = np.asarray(values)
    if mask.shape != shape:
        raise ValueError(f"{name} has shape {mask.shape}, need {shape}, that of the image")
    wrong = np.argwhere((mask != 0) & (mask != 1))
    if wrong.size:
        raise ValueError(
            f"{name}{wrong[0].tolist()} is {mask[tuple(wrong[0])]}, need 0 or 1 ({len(wrong)} pixels are neither)"
        )
    yes: Bool = mask == 1
    return yes


def _points(values: ArrayLike, shape: tuple[int, ...]) -> Float:
    points = np.asarray(values, dtype=np.float64)
    if points.shape not in ((2,), (shape[0], 2)):
        raise ValueError(f"insertion_point has shape {points.shape}, need (2,) or ({shape[0]}, 2): row and column")
    points = np.broadcast_to(points, (shape[0], 2))
    outside = np.flatnonzero(~((points >= -0.5) & (points <= np.array(shape[1:]) - 0.5)).all(axis=1))
    if outside.size:
        raise ValueError(
            f"the insertion point of slice {outside[0]}, {points[outside[0]].tolist()}, lies outside the image of "
            f"{shape[1:]} pixels ({outside.size} of {shape[0]} do); it is (row, column) in pixels, and where the right "
            "ventricle is not seen, that of the next slice"
        )
    return points


def _pixel_size(values: ArrayLike) -> Float:
    size = np.asarray(values, dtype=np.float64)
    if size.shape not in ((), (2,)) or not ((size >= _LEAST_PIXEL_MM) & (size <= _MOST_PIXEL_MM)).all():
        raise ValueError(
            f"pixel_mm is {size.tolist()}, need one number or (height, width), {_LEAST_PIXEL_MM} to {_MOST_PIXEL_MM} mm"
        )
    return np.broadcast_to(size, 2)
