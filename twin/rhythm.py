"""Where and when activation starts: the intact parts of the conduction system, as points on the endocardium.

Places are ventricular coordinates, so that they can be found on any heart. That the normal left ventricle starts in
the septum and its two paraseptal walls, and that left bundle branch block starts in the right ventricle alone, is common
knowledge of the field; the exact places are our choice.

Units: ms.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from anatomy.arrays import Float, Int
from anatomy.heart import Heart, Surface
from anatomy.sites import node_by_coordinates


@dataclass(frozen=True, kw_only=True)
class Start:
    """One place where activation begins.

    Attributes:
        surface: the endocardium it lies on.
        apicobasal, rotational: its coordinates.
        right: on the free wall of the right ventricle.
        time_ms: after the first start.
    """

    surface: Surface
    apicobasal: float
    rotational: float
    right: bool = False
    time_ms: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Rhythm:
    """An intrinsic rhythm.

    Attributes:
        name: "normal", "lbbb" or "rbbb".
        starts: where activation begins.
        left_intact, right_intact: whether the ventricle's own bundle branch feeds its fast endocardium.
    """

    name: str
    starts: tuple[Start, ...]
    left_intact: bool
    right_intact: bool


LEFT_STARTS = (
    Start(surface=Surface.LV_ENDOCARDIUM, apicobasal=0.45, rotational=0.83),  # mid septum
    Start(surface=Surface.LV_ENDOCARDIUM, apicobasal=0.55, rotational=0.58),  # front wall, beside the septum
    Start(surface=Surface.LV_ENDOCARDIUM, apicobasal=0.40, rotational=0.08),  # inferior wall, beside the septum
)
_RIGHT_STARTS = (
    Start(surface=Surface.RV_ENDOCARDIUM, apicobasal=0.40, rotational=0.83),  # right side of the septum
    Start(surface=Surface.RV_ENDOCARDIUM, apicobasal=0.40, rotational=0.35, right=True),  # foot of the moderator band
)
# The right ventricle starts 5 ms after the left one, as in a published reaction-eikonal set-up.
_RIGHT_AFTER_LEFT_MS = 5.0

RHYTHMS = {
    "normal": Rhythm(
        name="normal",
        starts=(
            *LEFT_STARTS,
            *(
                Start(
                    surface=start.surface,
                    apicobasal=start.apicobasal,
                    rotational=start.rotational,
                    right=start.right,
                    time_ms=_RIGHT_AFTER_LEFT_MS,
                )
                for start in _RIGHT_STARTS
            ),
        ),
        left_intact=True,
        right_intact=True,
    ),
    "lbbb": Rhythm(name="lbbb", starts=_RIGHT_STARTS, left_intact=False, right_intact=True),
    "rbbb": Rhythm(name="rbbb", starts=LEFT_STARTS, left_intact=True, right_intact=False),
}


def start_nodes(heart: Heart, starts: Iterable[Start]) -> tuple[Int, Float]:
    """The nodes and times at which activation begins on this heart; starts that fall on one node share it.

    Returns:
        (s,) node numbers and (s,) milliseconds.
    """
    earliest: dict[int, float] = {}
    for start in starts:
        node = node_by_coordinates(
            heart, start.surface, apicobasal=start.apicobasal, rotational=start.rotational, right=start.right
        )
        earliest[node] = min(start.time_ms, earliest.get(node, np.inf))
    return np.array(list(earliest), dtype=np.int32), np.array(list(earliest.values()))
