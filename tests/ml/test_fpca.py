"""Laws of functional principal components: an orthonormal basis, a plain SVD as twin, no dependence on the sampling rate."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from ml.ecg.recording import Float
from ml.fpca import FunctionalPca


def walks(n: int = 40, leads: int = 3, samples: int = 25, seed: int = 0) -> Float:
    return np.cumsum(np.random.default_rng(seed).normal(size=(n, leads, samples)), axis=2) + 5.0


def weights(samples: int, step: float) -> Float:
    found = np.full(samples, step)
    found[[0, -1]] /= 2
    return found


def waves(rate: int, n: int = 30) -> Float:
    """The same smooth curves over one unit of time at any rate."""
    times = np.linspace(0, 1, rate + 1)
    shares = np.random.default_rng(2).normal(size=(n, 2, 3)) * [3.0, 1.5, 0.7]
    shapes = [np.exp(times), np.sin(3 * times), times**3]
    return shares @ np.array(shapes)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), step=st.floats(1e-3, 1e3), n=st.sampled_from([10, 200]))
def test_it_equals_a_plain_svd(seed: int, step: float, n: int) -> None:
    curves = walks(n=n, seed=seed)
    model = FunctionalPca(4, step=step).fit(curves)
    root = np.sqrt(np.tile(weights(25, step), 3))
    centred = (curves - curves.mean(axis=0)).reshape(n, -1) * root
    left, sizes, right = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(np.sum(model.components_.reshape(4, -1) * root * right[:4], axis=1))
    np.testing.assert_allclose(model.components_.reshape(4, -1) * root, signs[:, None] * right[:4], atol=1e-8)
    np.testing.assert_allclose(model.transform(curves), signs * left[:, :4] * sizes[:4], atol=1e-8 * sizes[0])
    np.testing.assert_allclose(model.explained_variance_, sizes[:4] ** 2 / (n - 1), rtol=1e-9)
    np.testing.assert_allclose(model.explained_share_, sizes[:4] ** 2 / (sizes**2).sum(), rtol=1e-9)


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_few_of_many_components_are_those_of_a_plain_svd(noise: float) -> None:
    # By iteration; with noise alone, where nothing settles, by the matrix of products.
    rng = np.random.default_rng(1)
    curves = walks(n=600, leads=2, samples=250, seed=1) if noise == 0 else rng.normal(size=(600, 2, 250))
    model = FunctionalPca(3).fit(curves)
    root = np.sqrt(np.tile(weights(250, 1.0), 2))
    _, sizes, right = np.linalg.svd((curves - curves.mean(axis=0)).reshape(600, -1) * root, full_matrices=False)
    np.testing.assert_allclose(model.explained_variance_, sizes[:3] ** 2 / 599, rtol=1e-10)
    cosines = np.sum(model.components_.reshape(3, -1) * root * right[:3], axis=1)
    np.testing.assert_allclose(np.abs(cosines), 1, atol=1e-10)


@pytest.mark.parametrize("offset", [0.0, 3.0, 1e4])
def test_components_of_tall_tables_are_those_of_a_plain_svd(offset: float) -> None:
    # However large the mean is beside what varies: it is subtracted before or after the products.
    curves = walks(n=400, leads=1, samples=60, seed=3) + offset
    model = FunctionalPca(10).fit(curves)
    root = np.sqrt(weights(60, 1.0))
    _, sizes, right = np.linalg.svd((curves - curves.mean(axis=0)).reshape(400, -1) * root, full_matrices=False)
    np.testing.assert_allclose(model.explained_variance_, sizes[:10] ** 2 / 399, rtol=1e-11)
    cosines = np.sum(model.components_.reshape(10, -1) * root * right[:10], axis=1)
    np.testing.assert_allclose(np.abs(cosines), 1, atol=1e-13)


def test_scores_of_the_curves_of_the_fit_are_those_of_transform() -> None:
    curves = walks()
    model = FunctionalPca(4)
    np.testing.assert_array_equal(model.fit_transform(curves), model.transform(curves))


@pytest.mark.parametrize(("n", "number"), [(40, 10), (8, None), (100, None), (700, 3)])
def test_the_basis_is_orthonormal_in_the_integral(n: int, number: int | None) -> None:
    basis = FunctionalPca(number, step=0.25).fit(walks(n=n)).components_
    products = np.einsum("kls,mls,s->km", basis, basis, weights(25, 0.25))
    np.testing.assert_allclose(products, np.eye(len(basis)), atol=1e-9)


def test_the_basis_stays_orthonormal_where_components_are_tiny() -> None:
    # Few curves of sizes from 1 to 1e-7: a division by their sizes would leave an error of 0.01.
    curves = np.random.default_rng(5).normal(size=(8, 2, 25)) * 10.0 ** -np.arange(8)[:, None, None]
    model = FunctionalPca(None).fit(curves)
    products = np.einsum("kls,mls,s->km", model.components_, model.components_, weights(25, 1.0))
    np.testing.assert_allclose(products, np.eye(7), atol=1e-9)
    np.testing.assert_allclose(model.inverse_transform(model.transform(curves)), curves, atol=1e-9)


@pytest.mark.parametrize(("n", "leads"), [(40, 3), (400, 20)])
def test_components_beyond_those_there_are_explain_nothing(n: int, leads: int) -> None:
    rng = np.random.default_rng(6)
    curves = np.einsum("nk,klt->nlt", rng.normal(size=(n, 2)), rng.normal(size=(2, leads, 25)))
    model = FunctionalPca(5).fit(curves)
    np.testing.assert_allclose(model.explained_share_[2:], 0, atol=1e-12)
    assert model.explained_share_[:2].sum() == pytest.approx(1)
    products = np.einsum("kls,mls,s->km", model.components_, model.components_, weights(25, 1.0))
    np.testing.assert_allclose(products, np.eye(5), atol=1e-9)


@pytest.mark.parametrize("n", [8, 40, 100])
def test_all_components_rebuild_the_curves(n: int) -> None:
    curves = walks(n=n)
    model = FunctionalPca(None, step=0.1).fit(curves)
    assert len(model.components_) == min(n - 1, 75)
    np.testing.assert_allclose(model.inverse_transform(model.transform(curves)), curves, atol=1e-9)


def test_scores_do_not_depend_on_the_sampling_rate() -> None:
    slow, fast = (FunctionalPca(3, step=1 / rate).fit(waves(rate)) for rate in (100, 400))
    np.testing.assert_allclose(slow.transform(waves(100)), fast.transform(waves(400)), atol=2e-3)
    np.testing.assert_allclose(slow.components_, fast.components_[..., ::4], atol=2e-3)


def test_the_value_of_largest_magnitude_of_each_component_is_positive() -> None:
    # Turned over, the curves have the same components, not their opposites.
    curves = walks()
    model = FunctionalPca(5).fit(curves)
    flat = model.components_.reshape(5, -1)
    assert (flat[np.arange(5), np.abs(flat).argmax(axis=1)] > 0).all()
    np.testing.assert_allclose(FunctionalPca(5).fit(-curves).components_, model.components_, atol=1e-9)


@pytest.mark.parametrize("share", [0.3, 0.8, 0.99, 1 - 1e-15])
def test_a_share_takes_the_fewest_components_that_explain_it(share: float) -> None:
    shares = FunctionalPca(share).fit(walks()).explained_share_
    every = FunctionalPca(None).fit(walks()).explained_share_
    assert len(shares) == len(every) or shares.sum() >= share
    assert shares[:-1].sum() < share
    np.testing.assert_allclose(shares, every[: len(shares)], rtol=1e-10)


def test_scores_of_single_curves_are_those_of_one_lead() -> None:
    curves = walks(leads=1)
    model, single = FunctionalPca(4).fit(curves), FunctionalPca(4).fit(curves[:, 0])
    np.testing.assert_allclose(single.transform(curves[:, 0]), model.transform(curves), atol=1e-9)
    np.testing.assert_allclose(single.inverse_transform(np.eye(4)), model.inverse_transform(np.eye(4))[:, 0], atol=1e-9)


def test_new_curves_do_not_move_the_fit() -> None:
    curves = walks()
    model = clone(FunctionalPca(4)).fit(curves)
    np.testing.assert_allclose(model.transform(curves[:1]), model.transform(curves)[:1], atol=1e-12)


@pytest.mark.parametrize(
    ("curves", "model", "message"),
    [
        (walks()[:1], FunctionalPca(1), "at least 2"),
        (np.full((4, 2, 9), 7.3), FunctionalPca(1), "all curves are the same"),
        (np.where(np.arange(25) == 3, np.nan, walks()), FunctionalPca(1), r"X\[0, 0, 3\] is nan \(120 of"),
        (np.where(np.arange(25) == 3, np.inf, walks()), FunctionalPca(1), r"X\[0, 0, 3\] is inf \(120 of"),
        (walks(), FunctionalPca(40), "have 1 to 39 components"),
        (walks(), FunctionalPca(0), "n_components is 0"),
        (walks(), FunctionalPca(1.5), "n_components is 1.5"),
        (walks(), FunctionalPca(1, step=0.0), "step is 0"),
        (walks()[0, 0], FunctionalPca(1), "need \\(n, samples\\)"),
    ],
)
def test_what_has_no_components_is_refused(curves: Float, model: FunctionalPca, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model.fit(curves)


def test_curves_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(3, 24\), the basis has \(3, 25\)"):
        FunctionalPca(2).fit(walks()).transform(walks()[..., 1:])
