"""A view of bodies in patient space: parallel projection, drawn by VTK, lettered by matplotlib.

Colours must agree with their bar: the only light stands at the camera, and ambient and diffuse light add up to one, so
a surface that faces the reader has exactly its colour, and what turns away gets darker, which keeps the heart round.

Frame: LPS, mm.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyvista as pv
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from anatomy.arrays import Float

_MATT = {"ambient": 0.6, "diffuse": 0.4, "specular": 0.0}
_LETTERS = "#0b4f8a"
_PIXELS = 1100

# A body and how it looks: arguments of pyvista's `add_mesh`.
Actor = tuple[pv.DataSet, dict[str, Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """A parallel projection: unit vectors to the camera, right and up; middle and half the side of the picture."""

    towards: Float
    right: Float
    above: Float
    middle_mm: Float
    half_mm: float

    def flat_mm(self, points_mm: Float) -> Float:
        """(n, 2) where points appear, in mm from the middle of the picture."""
        return np.stack([(points_mm - self.middle_mm) @ self.right, (points_mm - self.middle_mm) @ self.above], axis=-1)


def view_of(points_mm: Float, towards: Float, up: Float) -> View:
    """The view from one side that just holds all points."""
    unit = towards / np.linalg.norm(towards)
    right = np.cross(up, unit)
    right /= np.linalg.norm(right)
    above = np.cross(unit, right)
    low, high = points_mm.min(axis=0), points_mm.max(axis=0)
    middle = (low + high) / 2
    for side in (right, above):
        flat = (points_mm - middle) @ side
        middle = middle + (flat.min() + flat.max()) / 2 * side
    half = max(float(np.abs((points_mm - middle) @ side).max()) for side in (right, above))
    return View(towards=unit, right=right, above=above, middle_mm=middle, half_mm=1.12 * half)


def direction_letters(towards: Float) -> str:
    """Letters of the patient axes that a direction points along most, one or two, the strongest first; LPS frame."""
    letters = (("L", "R"), ("P", "A"), ("H", "F"))
    unit = np.asarray(towards, dtype=np.float64) / np.linalg.norm(towards)
    order = np.argsort(-np.abs(unit), kind="stable")
    return "".join(letters[i][int(unit[i] < 0)] for i in order[:2] if abs(unit[i]) > 0.35)


def show(axes: Axes, view: View, actors: Sequence[Actor], title: str) -> None:
    """Draw the bodies into a panel whose unit is the millimetre; letters tell where right, left, top and bottom lie."""
    axes.imshow(_shoot(view, actors), extent=(-view.half_mm, view.half_mm, -view.half_mm, view.half_mm))
    axes.set_title(title, fontsize=10.5, pad=4)
    rim = 0.98 * view.half_mm
    for towards, x, y in ((view.right, rim, 0), (-view.right, -rim, 0), (view.above, 0, rim), (-view.above, 0, -rim)):
        ha, va = (
            ("right" if x > 0 else "left" if x < 0 else "center"),
            ("top" if y > 0 else "bottom" if y < 0 else "center"),
        )
        axes.text(x, y, direction_letters(towards), ha=ha, va=va, fontsize=11, weight="bold", color=_LETTERS)
    axes.plot([rim - 20, rim], [-rim, -rim], color="black", lw=2, solid_capstyle="butt")
    axes.text(rim - 10, -rim + 1.2, "20 mm", ha="center", va="bottom", fontsize=8)


def _shoot(view: View, actors: Sequence[Actor]) -> Any:
    """(pixels, pixels, 3) what the camera sees."""
    plotter = pv.Plotter(off_screen=True, window_size=(_PIXELS, _PIXELS), lighting="none")
    plotter.set_background("white")
    plotter.add_light(pv.Light(light_type="headlight"))
    for mesh, look in actors:
        plotter.add_mesh(mesh, show_scalar_bar=False, **{**_MATT, **look})
    plotter.camera.parallel_projection = True
    plotter.camera.focal_point = view.middle_mm
    plotter.camera.position = view.middle_mm + 6 * view.half_mm * view.towards
    plotter.camera.up = view.above
    plotter.camera.parallel_scale = view.half_mm
    plotter.reset_camera_clipping_range()
    image = plotter.screenshot(return_img=True)
    plotter.close()
    return image


def sheet(panels: int) -> tuple[Figure, list[Axes]]:
    """An empty sheet with square panels side by side and room below for a bar or a legend."""
    side, below, above = (4.9 if panels == 2 else 4.0), 0.95, 0.35
    width, height = side * panels, side + below + above
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    boxes = [(i / panels, below / height, 1 / panels, side / height) for i in range(panels)]
    return figure, [figure.add_axes(box, frameon=False, xticks=[], yticks=[]) for box in boxes]


def legend(figure: Figure, handles: Sequence[Artist], names: Sequence[str], *, right: bool = False) -> None:
    """Below the panels, in the middle or at the right."""
    place: Any = "lower right" if right else "lower center"
    figure.legend(list(handles), list(names), loc=place, ncols=5, fontsize=8.5, frameon=False, handlelength=1.2)


def save(figure: Figure, path: Path) -> None:
    """Write a sheet as PNG; the same sheet gives the same bytes."""
    figure.savefig(path, dpi=170, metadata={"Software": None})
