import numpy as np
import pytest
from scipy.spatial import KDTree
from scipy.stats import spearmanr

from anatomy.arrays import Float
from anatomy.axes import heart_axes
from anatomy.coordinates import aha_segments
from anatomy.heart import Heart, HeartMesh, Surface
from anatomy.orientation import RigidTransform

# AHA segment, apicobasal and rotational coordinate of its centre.
CENTRES = [
    (1, 0.85, 7 / 12),
    (2, 0.85, 9 / 12),
    (3, 0.85, 11 / 12),
    (4, 0.85, 1 / 12),
    (5, 0.85, 3 / 12),
    (6, 0.85, 5 / 12),
    (7, 0.55, 7 / 12),
    (8, 0.55, 9 / 12),
    (9, 0.55, 11 / 12),
    (10, 0.55, 1 / 12),
    (11, 0.55, 3 / 12),
    (12, 0.55, 5 / 12),
    (13, 0.25, 7 / 12),
    (14, 0.25, 10 / 12),
    (15, 0.25, 1 / 12),
    (16, 0.25, 4 / 12),
    (17, 0.05, 0.0),
    (17, 0.05, 0.5),
]


def inner_nodes(heart: Heart, surface: Surface) -> np.ndarray:
    """The nodes of a surface that lie on no other one."""
    others = [other for other in Surface if other != surface]
    return np.setdiff1d(heart.nodes_of(surface), heart.nodes_of(*others))


def direction_of_segment(heart: Heart, segment: int) -> Float:
    """(2,) cosine and sine of the mean angle of a segment about the long axis; (1, 0) is towards the right ventricle."""
    axes = heart_axes(heart)
    angles = axes.angle(heart.nodes_mm[heart.coordinates.aha == segment])
    mean = np.array([np.cos(angles).mean(), np.sin(angles).mean()])
    return mean / np.linalg.norm(mean)


@pytest.mark.parametrize(("segment", "apicobasal", "rotational"), CENTRES)
def test_the_centre_of_each_segment_belongs_to_it(segment: int, apicobasal: float, rotational: float) -> None:
    assert aha_segments(np.array([apicobasal]), np.array([rotational])).tolist() == [segment]


def test_apicobasal_is_0_at_the_apex_and_1_on_the_base(small_heart: Heart) -> None:
    c = small_heart.coordinates
    apex = np.linalg.norm(small_heart.nodes_mm - heart_axes(small_heart).apex_mm, axis=1).argmin()
    assert c.apicobasal[apex] == 0
    assert (c.apicobasal[small_heart.nodes_of(Surface.BASE)] == 1).all()


def test_apicobasal_grows_with_height_in_the_left_ventricle(small_heart: Heart) -> None:
    c = small_heart.coordinates
    left = c.in_left_ventricle
    height = heart_axes(small_heart).height(small_heart.nodes_mm[left])
    assert spearmanr(height, c.apicobasal[left]).statistic > 0.98
    assert np.abs(c.apicobasal[left] - height).mean() < 0.05


def test_transmural_is_0_on_the_own_endocardium_and_1_on_the_other_side(small_heart: Heart) -> None:
    c = small_heart.coordinates
    assert np.allclose(c.transmural[inner_nodes(small_heart, Surface.LV_ENDOCARDIUM)], 0)
    assert np.allclose(c.transmural[inner_nodes(small_heart, Surface.EPICARDIUM)], 1)
    of_rv = inner_nodes(small_heart, Surface.RV_ENDOCARDIUM)
    assert np.allclose(c.transmural[of_rv], np.where(c.in_left_ventricle[of_rv], 1, 0))


def test_transmural_grows_through_the_left_wall_with_the_distance_from_the_cavity(small_heart: Heart) -> None:
    c = small_heart.coordinates
    nodes = np.flatnonzero(c.in_left_ventricle & (np.abs(c.apicobasal - 0.6) < 0.15))
    inside, _ = KDTree(small_heart.nodes_mm[small_heart.nodes_of(Surface.LV_ENDOCARDIUM)]).query(
        small_heart.nodes_mm[nodes]
    )
    outside, _ = KDTree(small_heart.nodes_mm[small_heart.nodes_of(Surface.EPICARDIUM, Surface.RV_ENDOCARDIUM)]).query(
        small_heart.nodes_mm[nodes]
    )
    assert np.abs(c.transmural[nodes] - inside / (inside + outside)).mean() < 0.05


def test_the_right_wall_is_the_right_ventricle_and_the_left_endocardium_is_not(small_heart: Heart) -> None:
    c = small_heart.coordinates
    epicardium = inner_nodes(small_heart, Surface.EPICARDIUM)
    to_left, to_right = (
        KDTree(small_heart.nodes_mm[small_heart.nodes_of(surface)]).query(small_heart.nodes_mm[epicardium])[0]
        for surface in (Surface.LV_ENDOCARDIUM, Surface.RV_ENDOCARDIUM)
    )
    assert (c.transventricular[epicardium[to_right < 0.6 * to_left]] == 1).all()
    assert (c.transventricular[epicardium[to_left < 0.7 * to_right]] == 0).all()
    assert (c.transventricular[small_heart.nodes_of(Surface.LV_ENDOCARDIUM)] == 0).all()


def test_only_nodes_of_the_left_ventricle_have_a_segment_and_every_segment_has_nodes(small_heart: Heart) -> None:
    c = small_heart.coordinates
    assert np.array_equal(c.aha == 0, ~c.in_left_ventricle)
    assert set(c.aha.tolist()) == set(range(18))


@pytest.mark.parametrize("segment", [2, 3, 8, 9, 14])
def test_septal_segments_lie_towards_the_right_ventricle(small_heart: Heart, segment: int) -> None:
    assert direction_of_segment(small_heart, segment)[0] > 0.5


@pytest.mark.parametrize("segment", [2, 3, 8, 9])
def test_basal_and_mid_septal_segments_touch_the_right_cavity(small_heart: Heart, segment: int) -> None:
    of_segment = np.flatnonzero(small_heart.coordinates.aha == segment)
    assert np.isin(of_segment, small_heart.nodes_of(Surface.RV_ENDOCARDIUM)).any()


@pytest.mark.parametrize("segment", [5, 6, 11, 12, 16])
def test_lateral_segments_lie_away_from_the_right_ventricle(small_heart: Heart, segment: int) -> None:
    assert direction_of_segment(small_heart, segment)[0] < -0.5
    of_segment = np.flatnonzero(small_heart.coordinates.aha == segment)
    assert not np.isin(of_segment, small_heart.nodes_of(Surface.RV_ENDOCARDIUM)).any()


@pytest.mark.parametrize(("anterior", "inferior"), [(1, 4), (7, 10), (13, 15)])
def test_anterior_segments_lie_in_front_of_and_above_inferior_ones(
    small_heart: Heart, anterior: int, inferior: int
) -> None:
    front, back = (
        small_heart.nodes_mm[small_heart.coordinates.aha == segment].mean(axis=0) for segment in (anterior, inferior)
    )
    assert front[1] < back[1]  # LPS: y runs to the back
    assert front[2] > back[2]


def test_the_right_ventricle_ends_at_0_and_two_thirds(small_heart: Heart) -> None:
    c = small_heart.coordinates
    assert c.rotational[~c.in_left_ventricle].max() <= 2 / 3 + 1e-12
    front = heart_axes(small_heart).angle(small_heart.nodes_mm) > 0
    on_septum = np.intersect1d(inner_nodes(small_heart, Surface.RV_ENDOCARDIUM), np.flatnonzero(c.in_left_ventricle))
    septal = c.rotational[on_septum]
    assert np.mean((septal > 2 / 3 - 0.02) | (septal < 0.02)) > 0.9
    upper, lower = on_septum[front[on_septum]], on_septum[~front[on_septum]]
    assert np.median(c.rotational[upper]) < np.median(c.rotational[lower])


def test_coordinates_do_not_change_when_the_heart_moves(small_heart: Heart, moved_heart: Heart) -> None:
    still, moved = small_heart.coordinates, moved_heart.coordinates
    np.testing.assert_allclose(moved.apicobasal, still.apicobasal, atol=1e-4)
    np.testing.assert_allclose(moved.transmural, still.transmural, atol=1e-4)
    turn = np.abs(moved.rotational - still.rotational)
    assert np.minimum(turn, 1 - turn).max() < 1e-4
    assert np.array_equal(moved.transventricular, still.transventricular)
    assert (moved.aha != still.aha).mean() < 1e-3


def test_the_axes_turn_with_the_heart(small_heart: Heart, moved_heart: Heart, motion: RigidTransform) -> None:
    still, moved = heart_axes(small_heart), heart_axes(moved_heart)
    np.testing.assert_allclose(motion.points(still.apex_mm), moved.apex_mm, atol=1e-6)
    for name in ("long_axis", "septal", "anterior"):
        np.testing.assert_allclose(motion.vectors(getattr(still, name)), getattr(moved, name), atol=1e-6)


def test_a_left_ventricle_without_an_opening_is_refused(small_heart: Heart) -> None:
    ring = np.intersect1d(small_heart.nodes_of(Surface.LV_ENDOCARDIUM), small_heart.nodes_of(Surface.BASE))
    at_ring = np.isin(small_heart.triangles, ring).any(axis=1) & (small_heart.surface == Surface.BASE)
    closed = HeartMesh(
        nodes_mm=small_heart.nodes_mm,
        tets=small_heart.tets,
        triangles=small_heart.triangles[~at_ring],
        surface=small_heart.surface[~at_ring],
    )
    with pytest.raises(ValueError, match="the LV endocardium nowhere meets the base"):
        heart_axes(closed)


def test_a_heart_by_others_has_every_basal_mid_and_apical_segment(crtdemo: Heart) -> None:
    assert set(crtdemo.coordinates.aha.tolist()) >= set(range(1, 17))
    left = crtdemo.coordinates.in_left_ventricle
    height = heart_axes(crtdemo).height(crtdemo.nodes_mm[left])
    assert spearmanr(height, crtdemo.coordinates.apicobasal[left]).statistic > 0.95
