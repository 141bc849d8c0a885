"""Laws of the QRS groups: the published 2401 numbers, a plain twin, groups that do not depend on order or seed."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from ml.complexes import complexes
from ml.qrs_pca import QrsPca
from tests.ml.heartbeats import RATE_HZ, beats, with_a_gap
from tests.ml.real_beats import eight_lead_beats


def test_scores_are_those_of_scaling_and_pca_of_2401_numbers() -> None:
    signals, _ = beats(20)
    measured = complexes(signals.astype(np.float32), RATE_HZ)
    rows = np.column_stack([measured.qrs_mv.reshape(20, 2400), measured.qrs_ms])
    assert rows.shape == (20, 2401)
    plain = PCA(2, svd_solver="full").fit(StandardScaler().fit_transform(rows))
    scores = plain.transform(StandardScaler().fit_transform(rows))
    model = QrsPca(RATE_HZ).fit(signals)
    found = model.transform(signals)
    # float32 signals: the derived leads may differ in the last bit.
    np.testing.assert_allclose(np.abs(found), np.abs(scores), atol=0.02)
    np.testing.assert_allclose(model.explained_share_, plain.explained_variance_ratio_, rtol=1e-3)


def test_broad_complexes_are_group_1() -> None:
    signals, broad = beats(30)
    model = QrsPca(RATE_HZ).fit(signals)
    np.testing.assert_array_equal(model.labels_, broad)
    np.testing.assert_array_equal(model.predict(beats(20, seed=1)[0]), beats(20, seed=1)[1])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_groups_depend_neither_on_the_seed_nor_on_the_order(seed: int) -> None:
    signals, _ = beats(30)
    order = np.random.default_rng(seed).permutation(30)
    model, other = QrsPca(RATE_HZ).fit(signals), QrsPca(RATE_HZ, random_state=seed).fit(signals[order])
    np.testing.assert_array_equal(other.labels_, model.labels_[order])
    np.testing.assert_allclose(other.transform(signals), model.transform(signals), atol=1e-6)


def test_each_ecg_is_in_the_group_whose_mean_is_nearest() -> None:
    signals, _ = beats(30)
    model = QrsPca(RATE_HZ).fit(signals)
    scores = model.transform(signals)
    means = np.array([scores[model.labels_ == group].mean(axis=0) for group in (0, 1)])
    nearest = np.linalg.norm(scores[:, None] - means, axis=2).argmin(axis=1)
    np.testing.assert_array_equal(model.labels_, nearest)
    assert means[0, 0] < means[1, 0]


def test_its_parts_make_the_same_model() -> None:
    signals, _ = beats(20)
    model = QrsPca(RATE_HZ).fit(signals)
    again = QrsPca.from_parts(model.parts())
    np.testing.assert_array_equal(again.transform(signals), model.transform(signals))
    np.testing.assert_array_equal(again.predict(signals), model.labels_)
    assert again.get_params() == model.get_params() == clone(model).get_params()


def test_parts_that_do_not_fit_are_refused() -> None:
    parts = QrsPca(RATE_HZ).fit(beats(8)[0]).parts()
    parts.arrays["basis"] = parts.arrays["basis"][:, 1:]
    with pytest.raises(ValueError, match=r"the basis has shape \(2, 2400\)"):
        QrsPca.from_parts(parts)


def test_real_left_and_right_bundle_branch_block_fall_apart_by_shape_alone() -> None:
    signals, patterns, leads = eight_lead_beats()
    model = QrsPca(1000.0, leads=leads, real_time=False).fit(signals)
    shares = {name: model.labels_[patterns == name].mean() for name in ("lbbb", "rbbb")}
    assert abs(shares["lbbb"] - shares["rbbb"]) > 0.6


@pytest.mark.parametrize(
    ("signals", "message"),
    [
        (beats(2)[0], "need at least 3"),
        (np.tile(beats(1)[0], (5, 1, 1)), "differ in fewer than two ways"),
        (with_a_gap(beats(5)[0]), r"X\[1\] has nan in lead V2"),
    ],
)
def test_what_has_no_groups_is_refused(signals: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        QrsPca(RATE_HZ).fit(signals)
