"""What `twin.conduction` promises."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from anatomy.heart import Tissue
from tests.twin.boxes import as_matrices, box_heart
from twin.conduction import Conduction, metric_of_axes, metric_tensors


def test_the_cross_fibre_speeds_are_two_fifths_of_the_fibre_speed() -> None:
    tissue = Conduction()
    assert tissue.sheet_m_per_s == tissue.normal_m_per_s == pytest.approx(0.4 * tissue.fibre_m_per_s)


def test_scaling_multiplies_every_speed_and_nothing_else() -> None:
    tissue = Conduction(lv_endocardium_m_per_s=1.5, border_zone_factor=0.3, endocardium_extent=0.7)
    assert tissue.scaled(2) == Conduction(
        fibre_m_per_s=1.3,
        sheet_m_per_s=0.52,
        normal_m_per_s=0.52,
        lv_endocardium_m_per_s=3.0,
        border_zone_factor=0.3,
        endocardium_extent=0.7,
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fibre_m_per_s": 0.0}, "fibre_m_per_s = 0, need a positive"),
        ({"normal_m_per_s": -0.1}, "normal_m_per_s"),
        ({"fibre_m_per_s": np.inf}, "fibre_m_per_s = inf"),
        ({"sheet_m_per_s": np.nan}, "sheet_m_per_s = nan"),
        ({"lv_endocardium_m_per_s": 0.0}, "lv_endocardium_m_per_s = 0"),
        ({"sheet_m_per_s": 0.7}, "fibre >= sheet >= normal"),
        ({"normal_m_per_s": 0.3}, "fibre >= sheet >= normal"),
        ({"border_zone_factor": 0.0}, "border_zone_factor = 0"),
        ({"border_zone_factor": 1.1}, "border_zone_factor = 1.1"),
        ({"endocardium_extent": 1.5}, "endocardium_extent = 1.5"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Conduction(**settings)


@pytest.mark.parametrize("factor", [0.0, -1.0, np.inf, np.nan])
def test_impossible_factors_are_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="factor"):
        Conduction().scaled(factor)


def test_a_step_along_each_axis_takes_its_length_over_the_speed() -> None:
    rng = np.random.default_rng(1)
    axes = np.linalg.qr(rng.normal(size=(20, 3, 3)))[0]
    fibres, sheets, normals = (axes[:, :, k] for k in range(3))
    metric = as_matrices(metric_of_axes(fibres, sheets, (0.6, 0.4, 0.2)))
    for axis, speed in ((fibres, 0.6), (sheets, 0.4), (normals, 0.2)):
        times = np.sqrt(np.einsum("ni,nij,nj->n", 3 * axis, metric, 3 * axis))
        np.testing.assert_allclose(times, 3 / speed, rtol=1e-12)


def test_with_equal_cross_speeds_the_sheets_have_no_say() -> None:
    axes = np.linalg.qr(np.random.default_rng(2).normal(size=(20, 3, 3)))[0]
    three = metric_of_axes(axes[:, :, 0], axes[:, :, 1], (0.6, 0.3, 0.3))
    np.testing.assert_allclose(three, metric_of_axes(axes[:, :, 0], None, (0.6, 0.3)), rtol=1e-12, atol=1e-12)


def test_border_zone_is_slower_by_its_factor_and_core_takes_for_ever() -> None:
    heart = box_heart(20.0)
    tissue = np.zeros(len(heart.tets), dtype=np.int8)
    tissue[:5], tissue[5:9] = Tissue.BORDER_ZONE, Tissue.CORE
    scarred = metric_tensors(replace(heart, tissue=tissue), Conduction(border_zone_factor=0.5))
    healthy = metric_tensors(heart, Conduction())
    np.testing.assert_allclose(scarred[:5], 4 * healthy[:5])
    np.testing.assert_array_equal(scarred[9:], healthy[9:])
    np.testing.assert_array_equal(as_matrices(scarred[5:9]), np.broadcast_to(np.diag([np.inf] * 3), (4, 3, 3)))
