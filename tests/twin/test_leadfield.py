from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from anatomy.heart import Heart, Tissue
from anatomy.torso import ELECTRODES, Electrodes, electrodes_by_rule
from ml.ecg.measure import qrs_bounds
from ml.ecg.pattern import conduction_pattern
from ml.ecg.recording import STANDARD_LEADS, Ecg
from twin.activation import Activation
from twin.conduction import Conduction
from twin.eikonal import Eikonal
from twin.leadfield import LEAD_IN_MS, ActionPotential, Conductivity, LeadField
from twin.rhythm import RHYTHMS, start_nodes

STEP_MV = 90.0
MakeBox = Callable[..., Heart]


def around(middle: np.ndarray, distance_mm: float) -> Electrodes:
    """Nine electrodes on a sphere, in fixed directions that no symmetry relates."""
    directions = np.random.default_rng(8).normal(size=(len(ELECTRODES), 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return Electrodes(positions_mm=middle + distance_mm * directions, is_template=False)


def planar_front(heart: Heart, direction: np.ndarray, speed_m_per_s: float) -> Activation:
    times = heart.nodes_mm @ direction / speed_m_per_s
    return Activation(times_ms=times - times.min())


def in_leads(at_electrodes: np.ndarray) -> np.ndarray:
    """(12,) leads from nine electrode values, written out lead by lead."""
    v = dict(zip(ELECTRODES, at_electrodes, strict=True))
    centre = (v["RA"] + v["LA"] + v["LL"]) / 3
    limb = {
        "I": v["LA"] - v["RA"],
        "II": v["LL"] - v["RA"],
        "III": v["LL"] - v["LA"],
        "aVR": v["RA"] - (v["LA"] + v["LL"]) / 2,
        "aVL": v["LA"] - (v["RA"] + v["LL"]) / 2,
        "aVF": v["LL"] - (v["RA"] + v["LA"]) / 2,
    }
    return np.array([limb[name] if name in limb else v[name] - centre for name in STANDARD_LEADS])


def area_mv_ms(ecg: Ecg) -> np.ndarray:
    """(12,) area under each lead; at 1 kHz a sum."""
    return ecg.signal_mv.sum(axis=1)


@pytest.fixture(scope="module")
def field(small_heart: Heart) -> LeadField:
    return LeadField(small_heart, electrodes_by_rule(small_heart))


@pytest.fixture(scope="module")
def beats(small_heart: Heart) -> dict[str, Activation]:
    """Each rhythm with a fast layer where its bundle branch feeds one."""
    found = {}
    for name, rhythm in RHYTHMS.items():
        speeds = Conduction(
            lv_endocardium_m_per_s=1.8 if rhythm.left_intact else None,
            rv_endocardium_m_per_s=1.8 if rhythm.right_intact else None,
        )
        times = Eikonal(small_heart, speeds).solve(*start_nodes(small_heart, rhythm.starts))
        found[name] = Activation(times_ms=times)
    return found


@pytest.mark.parametrize("fibre", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (1.0, 1.0, 0.5)])
def test_far_away_the_area_of_a_planar_front_is_that_of_one_dipole(
    box_heart: MakeBox, fibre: tuple[float, float, float]
) -> None:
    """Each place is active from T on, so the area under the ECG is that of -90 mV T: a dipole 90 mV s_i grad T Vol.

    At a distance R the box, of length L, differs from one dipole by (L / R)^2.
    """
    box = box_heart(cells=2, fibre=fibre)
    direction, speed, sigma = np.array([0.6, 0.0, 0.8]), 0.5, Conductivity()
    electrodes = around(box.nodes_mm.mean(axis=0), 6000.0)
    areas = area_mv_ms(LeadField(box, electrodes, sigma).ecg(planar_front(box, direction, speed)))

    f = np.array(fibre) / np.linalg.norm(fibre)
    current = sigma.across_s_per_m * direction + (sigma.along_s_per_m - sigma.across_s_per_m) * (f @ direction) * f
    moment = STEP_MV * current / speed * 60.0**3
    away = electrodes.positions_mm - box.nodes_mm.mean(axis=0)
    moment = sigma.surface_gain * moment
    dipole = away @ moment / (4 * np.pi * sigma.body_s_per_m * np.linalg.norm(away, axis=1) ** 3)
    np.testing.assert_allclose(areas, in_leads(dipole), rtol=2e-4, atol=2e-4 * np.abs(dipole).max())


def test_a_front_that_comes_nearer_is_positive(box_heart: MakeBox) -> None:
    """V6 lies ahead of the front, V1 behind it, the others far off."""
    box = box_heart(cells=4)
    positions = np.tile([30.0, 30.0, 1e5], (9, 1))
    positions[ELECTRODES.index("V1")], positions[ELECTRODES.index("V6")] = [-40, 30, 30], [100, 30, 30]
    field = LeadField(box, Electrodes(positions_mm=positions, is_template=False))
    ecg = field.ecg(planar_front(box, np.array([1.0, 0, 0]), 0.6))
    assert ecg.lead("V6").max() > 0.1
    assert ecg.lead("V1").min() < -0.1
    assert ecg.lead("V6").min() > -1e-6


def test_a_beat_run_backwards_gives_the_negative_ecg_backwards(field: LeadField, beats: dict[str, Activation]) -> None:
    last, times = np.ceil(beats["lbbb"].last_ms), beats["lbbb"].times_ms
    backwards = field.ecg(Activation(times_ms=np.where(np.isfinite(times), last - times, np.inf))).signal_mv
    forwards = field.ecg(beats["lbbb"]).signal_mv
    middle = 2 * int(LEAD_IN_MS) + int(last)
    near = np.arange(int(LEAD_IN_MS) - 20, int(LEAD_IN_MS + last) + 20)
    np.testing.assert_allclose(backwards[:, near], -forwards[:, middle - near], atol=1e-9)


def test_one_voltage_everywhere_gives_no_ecg(small_heart: Heart, field: LeadField) -> None:
    together = field.ecg(Activation(times_ms=np.full(len(small_heart.nodes_mm), 40.0)))
    half = field.ecg(Activation(times_ms=np.where(small_heart.nodes_mm[:, 0] > 0, 0.0, 40.0)))
    assert np.abs(together.signal_mv).max() < 1e-10 * np.abs(half.signal_mv).max()


def test_einthoven_and_goldberger_hold(field: LeadField, beats: dict[str, Activation]) -> None:
    ecg = field.ecg(beats["lbbb"])
    one, two = ecg.lead("I"), ecg.lead("II")
    np.testing.assert_allclose(ecg.lead("III"), two - one, atol=1e-12)
    np.testing.assert_allclose(ecg.lead("aVR"), -(one + two) / 2, atol=1e-12)
    np.testing.assert_allclose(ecg.lead("aVL"), one - two / 2, atol=1e-12)
    np.testing.assert_allclose(ecg.lead("aVF"), two - one / 2, atol=1e-12)


def test_the_qrs_begins_and_ends_on_the_baseline(field: LeadField, beats: dict[str, Activation]) -> None:
    """What is wholly at rest, or wholly depolarised, makes no potential."""
    for beat in beats.values():
        ecg = field.ecg(beat)
        largest = np.abs(ecg.signal_mv).max()
        assert np.abs(ecg.signal_mv[:, : int(LEAD_IN_MS) - 12]).max() < 1e-6 * largest
        after = int(LEAD_IN_MS + beat.last_ms) + 12
        assert np.abs(ecg.signal_mv[:, after:]).max() < 1e-6 * largest


def test_after_repolarisation_the_ecg_is_back_on_the_baseline(field: LeadField, beats: dict[str, Activation]) -> None:
    """And the T wave opposes the QRS with the same area, for every place is active equally long."""
    ecg = field.ecg(beats["lbbb"], ActionPotential(duration_ms=300.0))
    plain = field.ecg(beats["lbbb"])
    assert np.abs(ecg.signal_mv[:, -1]).max() < 1e-3 * np.abs(plain.signal_mv).max()
    np.testing.assert_allclose(area_mv_ms(ecg), 0, atol=1e-3 * np.abs(area_mv_ms(plain)).max())


def test_a_beat_that_starts_later_gives_the_same_ecg_later(field: LeadField, beats: dict[str, Activation]) -> None:
    first = field.ecg(beats["normal"])
    later = field.ecg(Activation(times_ms=beats["normal"].times_ms + 7))
    np.testing.assert_allclose(later.signal_mv[:, 7:], first.signal_mv, atol=1e-9)


def test_between_samples_the_area_does_not_jump(field: LeadField, beats: dict[str, Activation]) -> None:
    first = area_mv_ms(field.ecg(beats["normal"]))
    later = area_mv_ms(field.ecg(Activation(times_ms=beats["normal"].times_ms + 0.4)))
    np.testing.assert_allclose(later, first, rtol=1e-6, atol=1e-6)


def test_turning_heart_and_electrodes_together_leaves_the_ecg(
    small_heart: Heart, field: LeadField, beats: dict[str, Activation]
) -> None:
    turn = Rotation.from_euler("xyz", [40, -70, 110], degrees=True).as_matrix().T
    turned = replace(
        small_heart,
        nodes_mm=small_heart.nodes_mm @ turn,
        fibres=small_heart.fibres @ turn,
        sheets=small_heart.sheets @ turn,
    )
    electrodes = electrodes_by_rule(small_heart)
    moved = LeadField(turned, replace(electrodes, positions_mm=electrodes.positions_mm @ turn))
    np.testing.assert_allclose(
        moved.ecg(beats["lbbb"]).signal_mv, field.ecg(beats["lbbb"]).signal_mv, rtol=1e-6, atol=1e-9
    )


def test_a_larger_heart_in_a_larger_body_has_the_same_ecg_at_the_same_times(box_heart: MakeBox) -> None:
    small, large = box_heart(edge_mm=60.0), box_heart(edge_mm=150.0)
    times = planar_front(small, np.array([0.6, 0.8, 0.0]), 0.6)
    one = LeadField(small, around(np.full(3, 30.0), 120.0)).ecg(times)
    other = LeadField(large, around(np.full(3, 75.0), 300.0)).ecg(times)
    np.testing.assert_allclose(one.signal_mv, other.signal_mv, atol=1e-12)


def test_core_carries_no_current(box_heart: MakeBox) -> None:
    """A scarred box has the ECG of the tissue that is left, whatever time the core is said to activate at."""
    box = box_heart(cells=4)
    core = (box.nodes_mm[box.tets][:, :, 2] <= 15).all(axis=1)
    scarred = replace(box, tissue=np.where(core, Tissue.CORE, Tissue.HEALTHY))
    electrodes, times = around(np.full(3, 30.0), 120.0), planar_front(box, np.array([1.0, 0.0, 0.0]), 0.6).times_ms
    unreached = np.where(scarred.living, times, np.inf)
    field = LeadField(scarred, electrodes)
    one, other = (field.ecg(Activation(times_ms=each)).signal_mv for each in (times, unreached))
    np.testing.assert_allclose(one, other, atol=1e-12)
    assert np.abs(one - LeadField(box, electrodes).ecg(Activation(times_ms=times)).signal_mv).max() > 1e-3


def test_an_electrode_in_the_muscle_is_refused(small_heart: Heart) -> None:
    electrodes = electrodes_by_rule(small_heart)
    positions = electrodes.positions_mm.copy()
    positions[ELECTRODES.index("V3")] = small_heart.nodes_mm[small_heart.tets[100]].mean(axis=0)
    with pytest.raises(ValueError, match=r"electrode V3 .* same frame"):
        LeadField(small_heart, replace(electrodes, positions_mm=positions))


def test_left_bundle_branch_block_looks_like_one(field: LeadField, beats: dict[str, Activation]) -> None:
    """Over 120 ms, QS or rS in V1, and a broad R without Q in I, aVL and V6."""
    ecg = field.ecg(beats["lbbb"])
    assert qrs_bounds(ecg).duration_ms > 120
    assert -ecg.lead("V1").min() > 4 * ecg.lead("V1").max()
    for name in ("I", "aVL", "V6"):
        assert ecg.lead(name).max() > 5 * -ecg.lead(name).min()
        wide = np.ptp(np.flatnonzero(ecg.lead(name) > 0.5 * ecg.lead(name).max()))
        assert wide > 60
    assert conduction_pattern(ecg, qrs_bounds(ecg)) == "lbbb"


def test_right_bundle_branch_block_looks_like_one(field: LeadField, beats: dict[str, Activation]) -> None:
    """Over 120 ms, a small r and a large R' in V1, and a slurred S in I and V6."""
    ecg = field.ecg(beats["rbbb"])
    early, late = (
        (ecg.time_ms > LEAD_IN_MS + begin) & (ecg.time_ms < LEAD_IN_MS + end) for begin, end in ((0, 40), (60, 120))
    )
    assert qrs_bounds(ecg).duration_ms > 120
    assert ecg.lead("V1")[late].max() > 2 * ecg.lead("V1")[early].max() > 0
    for name in ("I", "V6"):
        assert ecg.lead(name)[early].max() > 0
        assert ecg.lead(name)[late].max() < 0
    assert conduction_pattern(ecg, qrs_bounds(ecg)) == "rbbb"
