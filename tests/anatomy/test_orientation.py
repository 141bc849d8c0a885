import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from anatomy.arrays import Float
from anatomy.axes import HeartAxes, heart_axes
from anatomy.heart import Heart
from anatomy.orientation import REFERENCE_LONG_AXIS, RigidTransform, alignment, misorientations


def turned(axes: HeartAxes, move: RigidTransform) -> HeartAxes:
    return HeartAxes(
        base_mm=move.points(axes.base_mm),
        apex_mm=move.points(axes.apex_mm),
        long_axis=move.vectors(axes.long_axis),
        septal=move.vectors(axes.septal),
        anterior=move.vectors(axes.anterior),
    )


def any_axes(rotation: Float) -> HeartAxes:
    """The axes of a heart of 80 mm, its long axis along the first column and its septum along the second."""
    return HeartAxes(
        base_mm=np.array([10.0, -20.0, 30.0]) + 80 * rotation[:, 0],
        apex_mm=np.array([10.0, -20.0, 30.0]),
        long_axis=rotation[:, 0],
        septal=rotation[:, 1],
        anterior=rotation[:, 2],
    )


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_heart_is_brought_into_patient_space_by_a_proper_turn_on_the_spot(seed: int) -> None:
    axes = any_axes(Rotation.random(random_state=seed).as_matrix())
    turn = alignment(axes)
    np.testing.assert_allclose(turn.rotation @ turn.rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn.rotation) == pytest.approx(1)
    aligned = turned(axes, turn)
    assert misorientations(aligned) == []
    np.testing.assert_allclose(aligned.long_axis, REFERENCE_LONG_AXIS / np.linalg.norm(REFERENCE_LONG_AXIS), atol=1e-9)
    middle = (axes.base_mm + axes.apex_mm) / 2
    np.testing.assert_allclose((aligned.base_mm + aligned.apex_mm) / 2, middle, atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_alignment_of_an_aligned_heart_leaves_it_alone(seed: int) -> None:
    axes = any_axes(Rotation.random(random_state=seed).as_matrix())
    again = alignment(turned(axes, alignment(axes)))
    np.testing.assert_allclose(again.rotation, np.eye(3), atol=1e-9)


def test_a_turned_heart_comes_back_to_where_an_unturned_one_lies(
    small_heart: Heart, moved_heart: Heart, motion: RigidTransform
) -> None:
    still, moved = heart_axes(small_heart), heart_axes(moved_heart)
    assert misorientations(moved)
    back = alignment(moved)
    assert misorientations(turned(moved, back)) == []
    np.testing.assert_allclose(back.rotation @ motion.rotation, alignment(still).rotation, atol=1e-6)


def test_a_turn_keeps_distances_and_takes_vectors_along(small_heart: Heart, motion: RigidTransform) -> None:
    points = small_heart.nodes_mm[:100]
    steps = np.diff(points, axis=0)
    np.testing.assert_allclose(np.diff(motion.points(points), axis=0), motion.vectors(steps), atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(motion.vectors(steps), axis=1), np.linalg.norm(steps, axis=1), rtol=1e-9)


@pytest.mark.parametrize(
    ("flip", "says"),
    [
        ([-1, 1, 1], ["the apex does not point to the left", "the left ventricle does not lie left of the right one"]),
        ([1, -1, 1], ["the apex does not point to the front"]),
        ([1, 1, -1], ["the apex does not point down"]),
    ],
)
def test_each_flipped_direction_is_named(small_heart: Heart, flip: list[int], says: list[str]) -> None:
    axes = heart_axes(small_heart)
    flipped = HeartAxes(
        base_mm=axes.base_mm * flip,
        apex_mm=axes.apex_mm * flip,
        long_axis=axes.long_axis * flip,
        septal=axes.septal * flip,
        anterior=axes.anterior * flip,
    )
    assert misorientations(flipped) == says


def test_a_phantom_lies_in_patient_space(small_heart: Heart) -> None:
    assert misorientations(heart_axes(small_heart)) == []


def test_a_heart_by_others_lies_in_patient_space(crtdemo: Heart) -> None:
    assert misorientations(heart_axes(crtdemo)) == []
