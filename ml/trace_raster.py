"""Anti-aliased traces on a grid of pixels.

A trace is the polyline through its samples, drawn with a round pen of width w. A pixel whose centre lies d away from
the polyline is covered by c = clip(w / 2 + 1/2 - d, 0, 1). The profile across the line has area w for every w >= 1 px, so
the ink of a line, averaged over where it lies on the pixels, is w times its length, however steep it is. Where segments
meet or cross, the larger cover counts, so ink never adds up beyond full.

Units: px; pixel (row, column) spans [column, column + 1) x [row, row + 1), rows count downwards.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Float = NDArray[np.float64]
Pixels = NDArray[np.uint8]


@njit(cache=True, nogil=True)
def draw_trace(
    canvas: Pixels, values: Float, x_px: float, step_px: float, y_px: float, scale_px: float, width_px: float
) -> None:
    """Draw one trace onto canvas (h, w), 0 blank to 255 full; what lies outside the canvas is cut off.

    Sample i of values (n,) lies at (x_px + i * step_px, y_px - scale_px * values[i]). Trusts its inputs: finite numbers,
    width_px >= 1.
    """
    height, width = canvas.shape
    reach = 0.5 * width_px + 0.5
    # Far outside every canvas, yet small enough that no square of it overflows.
    far = 1e6
    for i in range(values.size - 1):
        ax = x_px + i * step_px
        ay = min(max(y_px - scale_px * values[i], -far), far)
        by = min(max(y_px - scale_px * values[i + 1], -far), far)
        dx, dy = step_px, by - ay
        length_2 = dx * dx + dy * dy
        per_length_2 = 1.0 / length_2 if length_2 > 0.0 else 0.0
        first_row = int(np.ceil(max(min(ay, by) - reach, 0.0) - 0.5))
        last_row = int(np.floor(min(max(ay, by) + reach, float(height)) - 0.5))
        for row in range(max(first_row, 0), last_row + 1):
            py = row + 0.5 - ay
            # On a steep flank only the part of the segment near this row matters: t from `low` to `high`.
            low, high = 0.0, 1.0
            if abs(dy) > 2.0 * reach:
                t_0, t_1 = (py - reach) / dy, (py + reach) / dy
                low, high = max(0.0, min(t_0, t_1)), min(1.0, max(t_0, t_1))
            first = int(np.ceil(max(ax + low * dx - reach, 0.0) - 0.5))
            last = int(np.floor(min(ax + high * dx + reach, float(width)) - 0.5))
            for column in range(max(first, 0), last + 1):
                px = column + 0.5 - ax
                t = min(max((px * dx + py * dy) * per_length_2, 0.0), 1.0)
                distance_2 = (px - t * dx) ** 2 + (py - t * dy) ** 2
                if distance_2 < reach * reach:
                    ink = np.uint8(255.0 * min(1.0, reach - np.sqrt(distance_2)) + 0.5)
                    canvas[row, column] = max(canvas[row, column], ink)
