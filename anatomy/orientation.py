"""Is this heart in LPS patient space, and if not, how does it get there.

In LPS (x to the left, y to the back, z to the head) the left ventricle lies to the left of the right one and the apex
points to the left, to the front and down. A heart of which that is not true is turned by its own axes onto those of a
reference heart; the turn is proper, for nothing in a mesh tells a mirrored heart from a sound one.
"""

from dataclasses import dataclass

import numpy as np

from anatomy.arrays import Float
from anatomy.axes import HeartAxes

# Measured on one real heart (cine MRI, end diastole, biv-me project): our choice of what "typical" means.
REFERENCE_LONG_AXIS = np.array([-0.47, 0.51, 0.72])
REFERENCE_SEPTAL = np.array([-0.86, -0.47, -0.21])


@dataclass(frozen=True, kw_only=True, eq=False)
class RigidTransform:
    """x -> rotation @ (x - centre_mm) + centre_mm, so that a heart turns on the spot.

    Attributes:
        rotation: (3, 3) proper.
        centre_mm: (3,).
    """

    rotation: Float
    centre_mm: Float

    def points(self, points_mm: Float) -> Float:
        """(k, 3) turned positions."""
        return self.vectors(points_mm - self.centre_mm) + self.centre_mm

    def vectors(self, vectors: Float) -> Float:
        """(k, 3) turned directions."""
        turned: Float = vectors @ self.rotation.T
        return turned


def misorientations(axes: HeartAxes) -> list[str]:
    """What contradicts LPS, in words; empty where the heart is in LPS."""
    down = -axes.long_axis
    checks = [
        (down[0] > 0, "the apex does not point to the left"),
        (down[1] < 0, "the apex does not point to the front"),
        (down[2] < 0, "the apex does not point down"),
        (axes.septal[0] < 0, "the left ventricle does not lie left of the right one"),
    ]
    return [fault for holds, fault in checks if not holds]


def alignment(axes: HeartAxes) -> RigidTransform:
    """The turn that brings a heart's own axes onto the reference axes in LPS."""
    return RigidTransform(
        rotation=_frame(REFERENCE_LONG_AXIS, REFERENCE_SEPTAL) @ _frame(axes.long_axis, axes.septal).T,
        centre_mm=(axes.base_mm + axes.apex_mm) / 2,
    )


def _frame(long_axis: Float, septal: Float) -> Float:
    """(3, 3) right-handed columns: long axis, septal direction across it, front wall."""
    first = long_axis / np.linalg.norm(long_axis)
    second = septal - (septal @ first) * first
    second = second / np.linalg.norm(second)
    return np.column_stack([first, second, np.cross(first, second)])
