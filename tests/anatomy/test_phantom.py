from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from anatomy.arrays import Float
from anatomy.labels import MUSCLE, Label, LabelMap
from anatomy.phantom import MIN_WALL_MM, RANGES, TERRITORIES, Phantom, random_phantom

VOXEL_MM = 1.5
SEEDS = range(4)


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return Phantom()


@pytest.fixture(scope="module")
def heart(phantom: Phantom) -> LabelMap:
    return phantom.label_map(VOXEL_MM)


@pytest.fixture(scope="module", params=SEEDS)
def drawn(request: pytest.FixtureRequest) -> tuple[Phantom, LabelMap]:
    phantom = random_phantom(np.random.default_rng(request.param))
    return phantom, phantom.label_map(VOXEL_MM)


def places_mm(heart: LabelMap, *labels: Label) -> Float:
    return np.argwhere(np.isin(heart.labels, labels)) @ heart.axes_mm.T + heart.origin_mm


def own_frame(phantom: Phantom, places: Float) -> Float:
    """Septal, anterior and basal coordinates; the base centre is the origin."""
    return places @ phantom.axes


def faces_between(heart: LabelMap, one: Label, other: Label) -> int:
    labels = np.pad(heart.labels, 1)
    pairs = ((np.moveaxis(labels, k, 0)[:-1], np.moveaxis(labels, k, 0)[1:]) for k in range(3))
    return int(sum((((a == one) & (b == other)) | ((a == other) & (b == one))).sum() for a, b in pairs))


def below_rim(phantom: Phantom, heart: LabelMap, margin_mm: float) -> NDArray[np.bool_]:
    """Voxels at least that far below the base plane."""
    grid = np.indices(heart.labels.shape).reshape(3, -1).T @ heart.axes_mm.T + heart.origin_mm
    s_a_b = own_frame(phantom, grid)
    rise = np.tan(np.radians(phantom.base_tilt_degrees))
    deep: NDArray[np.bool_] = s_a_b[:, 2] < rise * s_a_b[:, 1] - margin_mm
    return deep.reshape(heart.labels.shape)


def test_the_left_cavity_has_the_volume_of_the_closed_form(drawn: tuple[Phantom, LabelMap]) -> None:
    phantom, heart = drawn
    counted = (heart.labels == Label.LV_BLOOD).sum() * VOXEL_MM**3 / 1000
    assert counted == pytest.approx(phantom.lv_cavity_ml, rel=0.005)


def test_without_tilt_the_closed_form_is_the_integral_of_the_cross_sections() -> None:
    phantom = Phantom(base_tilt_degrees=0, lv_opening_mm=44, lv_diameter_mm=66, lv_length_mm=100)
    up = 30 / np.sqrt(1 - (44 / 66) ** 2)
    height = np.linspace(-70, 30, 200_001)
    square = 33**2 * np.where(height > 0, 1 - (height / up) ** 2, 1 - np.abs(height / 70) ** 1.5)
    assert phantom.lv_cavity_ml == pytest.approx(np.pi * np.trapezoid(square, height) / 1000, rel=1e-6)


def test_the_left_cavity_is_as_long_wide_and_open_as_asked(phantom: Phantom) -> None:
    flat = replace(phantom, base_tilt_degrees=0)
    heart = flat.label_map(VOXEL_MM)
    septal, _, basal = own_frame(flat, places_mm(heart, Label.LV_BLOOD)).T
    rim = septal[basal > -2]
    assert -basal.min() == pytest.approx(flat.lv_length_mm, abs=VOXEL_MM)
    assert np.ptp(septal) == pytest.approx(flat.lv_diameter_mm, abs=1.5 * VOXEL_MM)
    assert np.ptp(rim) == pytest.approx(flat.lv_opening_mm, abs=3 * VOXEL_MM)


def test_the_default_heart_is_dilated_and_has_plausible_volumes(heart: LabelMap) -> None:
    ml = np.bincount(heart.labels.ravel(), minlength=len(Label)) * VOXEL_MM**3 / 1000
    assert 220 < ml[Label.LV_BLOOD] < 260
    assert 130 < ml[Label.RV_BLOOD] < 170
    assert 180 < ml[list(MUSCLE)].sum() < 240


def test_every_label_is_present(heart: LabelMap) -> None:
    assert np.unique(heart.labels).tolist() == sorted(Label)


def test_the_left_ventricle_lies_left_of_the_right_and_the_apex_left_in_front_and_below(
    drawn: tuple[Phantom, LabelMap],
) -> None:
    phantom, heart = drawn
    left, right = (places_mm(heart, blood) for blood in (Label.LV_BLOOD, Label.RV_BLOOD))
    assert left.mean(axis=0)[0] > right.mean(axis=0)[0]
    assert left.mean(axis=0)[1] > right.mean(axis=0)[1]
    apex = left[np.linalg.norm(left, axis=1).argmax()]
    assert apex[0] > 0 > apex[1]
    assert apex[2] < 0
    assert np.linalg.det(phantom.axes) == pytest.approx(1)
    # A mirrored heart would have its anterior wall at the back or below.
    assert phantom.axes[1, 1] < 0 < phantom.axes[2, 1]


def test_left_blood_meets_the_background_at_the_base_only_and_never_the_right_blood(
    drawn: tuple[Phantom, LabelMap],
) -> None:
    phantom, heart = drawn
    background = ndimage.binary_dilation(heart.labels == Label.BACKGROUND)
    deep = below_rim(phantom, heart, 1.5 * VOXEL_MM)
    for blood in (Label.LV_BLOOD, Label.RV_BLOOD):
        touching = (heart.labels == blood) & background
        assert touching.any()
        assert not (touching & deep).any()
    assert faces_between(heart, Label.LV_BLOOD, Label.RV_BLOOD) == 0


def test_each_part_is_one_piece(drawn: tuple[Phantom, LabelMap]) -> None:
    _, heart = drawn
    for part in ((Label.LV_BLOOD,), (Label.RV_BLOOD,), MUSCLE, (Label.BACKGROUND,)):
        assert ndimage.label(np.isin(heart.labels, part), structure=np.ones((3, 3, 3)))[1] == 1


def test_the_openings_are_less_than_a_quarter_of_the_right_blood_surface(drawn: tuple[Phantom, LabelMap]) -> None:
    _, heart = drawn
    opening = faces_between(heart, Label.RV_BLOOD, Label.BACKGROUND)
    assert opening < 0.25 * (opening + sum(faces_between(heart, Label.RV_BLOOD, part) for part in MUSCLE))


def test_the_right_ventricle_ends_before_the_apex_of_the_left(drawn: tuple[Phantom, LabelMap]) -> None:
    phantom, heart = drawn
    right, left = (own_frame(phantom, places_mm(heart, b))[:, 2].min() for b in (Label.RV_BLOOD, Label.LV_BLOOD))
    assert 0.7 * left > right > left + 5


def test_no_wall_is_thinner_than_the_least_wall(drawn: tuple[Phantom, LabelMap]) -> None:
    phantom, heart = drawn
    deep = below_rim(phantom, heart, 6.0)
    # Voxel centres on either side of a wall lie at least its thickness apart.
    for blood, others in (
        (Label.RV_BLOOD, (Label.BACKGROUND, Label.LV_BLOOD)),
        (Label.LV_BLOOD, (Label.BACKGROUND, Label.RV_BLOOD)),
    ):
        far = ndimage.distance_transform_edt(heart.labels != blood, sampling=VOXEL_MM)
        assert far[np.isin(heart.labels, others) & deep].min() >= MIN_WALL_MM


def test_the_right_wall_is_as_thick_as_asked(phantom: Phantom, heart: LabelMap) -> None:
    far = ndimage.distance_transform_edt(heart.labels != Label.RV_BLOOD, sampling=VOXEL_MM)
    outside = (heart.labels == Label.BACKGROUND) & ndimage.binary_dilation(heart.muscle)
    s_a_b = own_frame(phantom, np.argwhere(outside) @ heart.axes_mm.T + heart.origin_mm)
    free_wall = (s_a_b[:, 0] > 55) & (s_a_b[:, 2] < -15) & (s_a_b[:, 2] > -60)
    # Between the centres of the last blood voxel and the first one outside lies the wall plus about one voxel.
    assert np.median(far[outside][free_wall]) == pytest.approx(phantom.rv_wall_mm + VOXEL_MM, abs=0.5 * VOXEL_MM)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_heart() -> None:
    one, same, other = (random_phantom(np.random.default_rng(seed)) for seed in (7, 7, 8))
    assert one == same
    assert one.label_map(3.0).labels.tobytes() == same.label_map(3.0).labels.tobytes()
    assert one.label_map(3.0).labels.tobytes() != other.label_map(3.0).labels.tobytes()


def test_draws_stay_within_the_stated_ranges_with_and_without_infarct() -> None:
    rng = np.random.default_rng(0)
    phantoms = [random_phantom(rng) for _ in range(200)]
    for name, (low, high) in RANGES.items():
        values = [getattr(p, name) for p in phantoms]
        assert low <= min(values) < max(values) <= high
    assert {p.scar_radius_mm > 0 for p in phantoms} == {True, False}


def test_radius_zero_gives_no_scar(phantom: Phantom, heart: LabelMap) -> None:
    healthy = replace(phantom, scar_radius_mm=0).label_map(VOXEL_MM)
    assert not np.isin(healthy.labels, (Label.BORDER_ZONE, Label.SCAR_CORE)).any()
    np.testing.assert_array_equal(healthy.muscle, heart.muscle)


@pytest.mark.parametrize("territory", TERRITORIES)
def test_the_infarct_lies_in_the_left_wall_where_it_was_asked_for(phantom: Phantom, territory: str) -> None:
    (low, high), (start, end) = TERRITORIES[territory]
    height, angle = (low + high) / 2, (start + end) / 2
    infarcted = replace(phantom, scar_apicobasal=height, scar_angle_degrees=angle, scar_radius_mm=12)
    heart = infarcted.label_map(VOXEL_MM)
    scar = np.isin(heart.labels, (Label.BORDER_ZONE, Label.SCAR_CORE))
    to_lv = ndimage.distance_transform_edt(heart.labels != Label.LV_BLOOD, sampling=VOXEL_MM)
    assert to_lv[scar].max() < phantom.lv_wall_mm + VOXEL_MM
    core = own_frame(phantom, places_mm(heart, Label.SCAR_CORE)).mean(axis=0)
    assert 1 + core[2] / phantom.lv_length_mm == pytest.approx(height, abs=0.05)
    # Anterior is 210 degrees, and the angle grows from there towards the septum.
    found = 210 + np.degrees(np.arctan2(core[0], core[1]))
    assert (found - angle + 180) % 360 - 180 == pytest.approx(0, abs=5)


def test_the_core_starts_at_the_endocardium_and_reaches_its_transmurality(phantom: Phantom) -> None:
    for transmurality in (0.3, 0.6, 1.0):
        infarcted = replace(
            phantom, scar_transmurality=transmurality, scar_apicobasal=0.7, scar_angle_degrees=120, border_zone_mm=0
        )
        # At the widest level, on the free wall, both surfaces are at known radii.
        depth = np.linspace(0.005, 0.995, 199)
        radius = infarcted.lv_diameter_mm / 2 + depth * infarcted.lv_wall_mm
        points = np.array(
            [-0.3 * infarcted.lv_length_mm * infarcted.axes[:, 2] - r * infarcted.axes[:, 0] for r in radius]
        )
        core = infarcted.labels_at(points) == Label.SCAR_CORE
        np.testing.assert_array_equal(core, np.arange(199) < core.sum())
        assert core.mean() == pytest.approx(transmurality, abs=0.06)


def test_a_voxel_size_changes_the_image_but_not_what_lies_at_a_place(phantom: Phantom) -> None:
    coarse = phantom.label_map(3.0)
    places = np.argwhere(np.ones(coarse.labels.shape, dtype=bool)) @ coarse.axes_mm.T + coarse.origin_mm
    np.testing.assert_array_equal(phantom.labels_at(places), coarse.labels.ravel())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rv_wall_mm": 2.5}, "rv_wall_mm = 2.5, need 3 to 12"),
        ({"lv_opening_mm": 66.0}, "lv_opening_mm = 66"),
        ({"scar_transmurality": 0.0}, "scar_transmurality = 0"),
        ({"scar_radius_mm": float("nan")}, "scar_radius_mm = nan, need finite"),
        ({"long_axis": (0.0, 0.0, 0.0)}, "long_axis"),
        ({"septal": (-0.6, 0.5, 0.62)}, "septal lies . degrees from long_axis"),
    ],
)
def test_impossible_hearts_are_refused_by_name(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Phantom(**change)  # type: ignore[arg-type]


def test_voxels_larger_than_a_wall_are_refused(phantom: Phantom) -> None:
    with pytest.raises(ValueError, match="voxel_mm = 5, need more than 0 and at most the thinnest wall"):
        phantom.label_map(5.0)
