"""Pictures of the heart for a report, drawn by `scenes` in a process of its own.

Without its OpenGL libraries VTK does not raise, it ends the process, and a driver may hang. So the drawing runs in a
child with a time limit, and whatever goes wrong there costs the report its pictures, never the plan.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEBIAN_PACKAGES = "libegl1 libegl-mesa0 libgl1-mesa-dri libgl1"
BAD_FILE = 3  # exit code of `scenes` for files that cannot be drawn; its last line on stderr is the reason

# File name to title and text for readers who do not see the picture, in the order of the report.
CAPTIONS = {
    "activation_intrinsic.png": (
        "Activation in the patient's own rhythm",
        "The heart from the front and from the left and behind, coloured by activation time in the own rhythm.",
    ),
    "activation_best.png": (
        "Activation when paced from the first-ranked site",
        "The same two views and colours as above, when paced from the first-ranked site, which is marked.",
    ),
    "veins.png": (
        "Veins, candidate sites and scar",
        "The outside of the heart with its veins, numbered candidate sites, reachable or not, and scar in the wall.",
    ),
    "fibres.png": (
        "Fibres",
        "Fibres of the outer and the inner wall from the left, and of a short-axis slab, coloured by helix angle.",
    ),
}
_COMMAND = (sys.executable, "-P", "-m", "twin.planning.report.scenes")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture for the report: `title` stands above it, `alt` is read to those who do not see it."""

    title: str
    alt: str
    path: Path


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """What was drawn, and what to tell the reader if nothing could be."""

    pictures: tuple[Picture, ...]
    warnings: tuple[str, ...]


def render_pictures(
    heart_vtu: Path, veins_vtp: Path | None, sites: Sequence[Mapping[str, Any]], out_dir: Path, timeout_s: float
) -> Pictures:
    """Draw activation, veins with sites, and fibres of a planned heart.

    Args:
        heart_vtu: the heart of the plan (see design.md), with point arrays `activation_intrinsic_ms` and
            `activation_best_ms` in ms, not finite where never reached. A picture whose arrays are missing is left out.
        veins_vtp: lines with point arrays `radius_mm` and `vein`, field data `names`; None: no veins are drawn.
        sites: of each `id`, `position_mm`, `reachable` and, if ranked, `rank`.
        out_dir: folder for the PNG files; made if missing.
        timeout_s: after so many seconds the drawing is given up.

    Returns:
        The pictures, or none and one warning if the drawing failed in any way.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    job = [{key: site.get(key) for key in ("id", "position_mm", "reachable", "rank")} for site in sites]
    veins = "" if veins_vtp is None else str(veins_vtp.resolve())
    with tempfile.TemporaryDirectory(dir=out_dir, prefix=".pictures-") as scratch:
        try:
            child = subprocess.run(  # noqa: S603 - our own module, arguments as a list
                [*_COMMAND, str(heart_vtu.resolve()), veins, str(Path(scratch).resolve())],
                input=json.dumps(job),
                capture_output=True,
                text=True,
                timeout=timeout_s,
                env=_environment(),
                check=False,
            )
        except subprocess.TimeoutExpired:
            return _nothing(f"drawing them took more than {timeout_s:g} s")
        except OSError as error:
            return _nothing(f"the drawing process did not start ({error.strerror})")
        if child.returncode == BAD_FILE:
            lines = child.stderr.strip().splitlines()
            return Pictures(
                pictures=(), warnings=(f"No pictures of the heart: {lines[-1] if lines else 'bad files'}.",)
            )
        if child.returncode != 0:
            return _nothing(f"the drawing process ended with code {child.returncode}")
        drawn = []
        for name, (title, alt) in CAPTIONS.items():
            if (Path(scratch) / name).is_file():
                (Path(scratch) / name).replace(out_dir / name)
                drawn.append(Picture(title=title, alt=alt, path=out_dir / name))
    if not drawn:
        return _nothing("the drawing process made none")
    return Pictures(pictures=tuple(drawn), warnings=())


def _nothing(reason: str) -> Pictures:
    cure = f"On a machine without a screen VTK needs OpenGL libraries: on Debian `apt-get install {DEBIAN_PACKAGES}`."
    return Pictures(pictures=(), warnings=(f"No pictures of the heart: {reason}. {cure}",))


def _environment() -> dict[str, str]:
    """The child finds the same packages as we do, and without a screen draws through EGL."""
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(entry for entry in sys.path if entry)
    if sys.platform == "linux" and not environment.get("DISPLAY"):
        environment.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    return environment
