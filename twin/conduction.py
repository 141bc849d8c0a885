"""How fast excitation travels in each tissue.

In tissue with fibre direction f, sheet direction s and normal n = f x s the front T obeys  grad(T) . D grad(T) = 1  with
D = v_f^2 f f' + v_s^2 s s' + v_n^2 n n'.  Travel times are lengths in the metric M = inv(D): a straight step e costs
sqrt(e . M e).  [doi:10.1137/120881956]

Units: mm, ms, and so mm/ms = m/s; the metric is in ms^2/mm^2.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from anatomy.arrays import Float
from anatomy.heart import Heart, Tissue


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduction:
    """Speeds of the front in healthy myocardium, and what scar and fast endocardium make of them.

    Core does not conduct. The fast endocardium stands for the Purkinje network: a layer on the endocardial surface of
    one ventricle, equally fast in every direction of that surface. It lies on healthy tissue only, as in CardioSolv
    Digital Twin, whose border zone has no Purkinje. As `None` is the default, a ventricle without a stated speed
    conducts as left bundle branch block leaves the left one: through its myocardium alone.

    Attributes:
        fibre_m_per_s: along the fibre; 0.65 was measured in human hearts (Taggart 2000, as used in
            github.com/juliacamps/Cardiac-Digital-Twin).
        sheet_m_per_s: across the fibre, within the sheet; 0.4 of the fibre speed (Lee 2019, PMC6746621).
        normal_m_per_s: across the sheet; likewise. The order must be fibre >= sheet >= normal.
        border_zone_factor: the border zone's speeds as a share of these, in (0, 1]; 0.4 in CardioSolv Digital Twin.
        lv_endocardium_m_per_s: speed of the fast layer of the left ventricle, None for no layer. Dense networks are
            fitted with 1.0 to 1.9 m/s (same repository as above).
        rv_endocardium_m_per_s: likewise of the right ventricle.
        endocardium_extent: the layer reaches from the apex to this apicobasal coordinate; 0.9 in the same repository.

    Raises:
        ValueError: if a speed is not positive and finite, or the order or a range is broken.
    """

    fibre_m_per_s: float = 0.65
    sheet_m_per_s: float = 0.26
    normal_m_per_s: float = 0.26
    border_zone_factor: float = 0.4
    lv_endocardium_m_per_s: float | None = None
    rv_endocardium_m_per_s: float | None = None
    endocardium_extent: float = 0.9

    def __post_init__(self) -> None:
        for name, speed in self._speeds().items():
            if not 0 < speed < np.inf:
                raise ValueError(f"{name} = {speed:g}, need a positive, finite speed in m/s")
        if not self.fibre_m_per_s >= self.sheet_m_per_s >= self.normal_m_per_s:
            raise ValueError(
                f"need fibre >= sheet >= normal, got {self.fibre_m_per_s:g}, {self.sheet_m_per_s:g}, "
                f"{self.normal_m_per_s:g} m/s; give all three speeds when changing one"
            )
        if not 0 < self.border_zone_factor <= 1:
            raise ValueError(f"border_zone_factor = {self.border_zone_factor:g}, need 0 < factor <= 1")
        if not 0 <= self.endocardium_extent <= 1:
            raise ValueError(f"endocardium_extent = {self.endocardium_extent:g}, need 0 (apex) to 1 (base)")

    def scaled(self, factor: float) -> "Conduction":
        """The same tissue with every speed times `factor`: all activation times are divided by it.

        Raises:
            ValueError: if the factor is not positive and finite.
        """
        if not 0 < factor < np.inf:
            raise ValueError(f"factor = {factor:g}, need a positive, finite number")
        return replace(self, **{name: speed * factor for name, speed in self._speeds().items()})

    def _speeds(self) -> dict[str, float]:
        named = {field.name: getattr(self, field.name) for field in fields(self) if field.name.endswith("_m_per_s")}
        return {name: speed for name, speed in named.items() if speed is not None}


def metric_tensors(heart: Heart, conduction: Conduction) -> Float:
    """The metric of each tetrahedron: a straight step e inside it takes sqrt(e . M e).

    Returns:
        (m, 6) ms^2/mm^2, the entries xx, xy, xz, yy, yz, zz of M. Core, which no front crosses, has `inf` on the diagonal
        and 0 beside it.
    """
    speeds = (conduction.fibre_m_per_s, conduction.sheet_m_per_s, conduction.normal_m_per_s)
    metric = metric_of_axes(heart.fibres, heart.sheets, speeds)
    metric[heart.tissue == Tissue.BORDER_ZONE] /= conduction.border_zone_factor**2
    metric[heart.tissue == Tissue.CORE] = [np.inf, 0.0, 0.0, np.inf, 0.0, np.inf]
    return metric


def metric_of_axes(fibres: Float, sheets: Float | None, speeds_m_per_s: Sequence[float]) -> Float:
    """The metric of tissue with these axes; trusts its inputs.

    Args:
        fibres: (m, 3) unit vectors; the sign has no meaning.
        sheets: (m, 3) unit vectors across the fibres; their remaining part along the fibre is removed. Not read
            where only two speeds are given.
        speeds_m_per_s: along fibre and across it, or along fibre, sheet and normal.

    Returns:
        (m, 6) ms^2/mm^2, the entries xx, xy, xz, yy, yz, zz.
    """
    slowness = [1 / speed**2 for speed in speeds_m_per_s]
    metric = isotropic_metric(len(fibres), slowness[-1])
    _add_dyads(metric, fibres, slowness[0] - slowness[-1])
    if len(slowness) == 3 and sheets is not None:
        across = sheets - fibres * np.einsum("ni,ni->n", sheets, fibres)[:, None]
        across /= np.linalg.norm(across, axis=1, keepdims=True)
        _add_dyads(metric, across, slowness[1] - slowness[2])
    return metric


def isotropic_metric(m: int, slowness_squared: Float | float) -> Float:
    """(m, 6) metric that is alike in every direction; the squared slowness is one number or (m,), in ms^2/mm^2."""
    metric = np.zeros((m, 6))
    metric[:, 0] = metric[:, 3] = metric[:, 5] = slowness_squared
    return metric


def _add_dyads(metric: Float, axes: Float, weight: float) -> None:
    for column, (i, j) in enumerate(((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))):
        metric[:, column] += weight * axes[:, i] * axes[:, j]
