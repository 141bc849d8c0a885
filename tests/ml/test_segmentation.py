from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from sklearn.base import clone

pytest.importorskip("einops", reason="MONAI's SwinUNETR needs einops, which is not installed")

from ml.model_store import load_model, read_parts, save_model, write_parts
from ml.pretrained_weights import load_pretrained
from ml.segmentation import DiceCrossEntropy, PaddedNet, ScarSegmenter, dice

torch.set_num_threads(1)
Array = NDArray[np.float64]


def discs(n: int = 8, size: int = 40, seed: int = 0) -> tuple[Array, NDArray[np.bool_]]:
    """(n, 1, size, size) noise with a bright disc, and where it is."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:size, :size]
    at = rng.uniform(0.3 * size, 0.7 * size, (n, 2, 1, 1))
    masks = np.hypot(row - at[:, 0], column - at[:, 1]) < rng.uniform(0.12, 0.2, (n, 1, 1)) * size
    return (100 + 20 * rng.normal(size=masks.shape) + 150 * masks)[:, None], masks


def segmenter(**changes: Any) -> ScarSegmenter:
    settings = {"feature_size": 12, "max_epochs": 1, "patience": None, "learning_rate": 3e-3, "batch_size": 4}
    return ScarSegmenter(**({"device": "cpu"} | settings | changes))


@pytest.fixture(scope="module")
def trained() -> ScarSegmenter:
    return segmenter(max_epochs=8).fit(*discs())


def test_a_bright_disc_is_found_elsewhere(trained: ScarSegmenter) -> None:
    fresh, masks = discs(seed=1)
    assert trained.score(fresh, masks) > 0.8
    assert trained.score(fresh, masks) == dice(trained.predict(fresh), masks).mean()


def test_the_unit_of_the_intensity_does_not_matter(trained: ScarSegmenter) -> None:
    x, _ = discs(2, seed=1)
    np.testing.assert_allclose(trained.predict_proba(5 * x - 300), trained.predict_proba(x), atol=1e-4)


@pytest.mark.parametrize("shape", [(40, 56), (64, 64), (33, 70)])
def test_slices_of_any_size_get_masks_of_their_size(trained: ScarSegmenter, shape: tuple[int, int]) -> None:
    x = np.random.default_rng(0).normal(size=(1, 1, *shape))
    assert trained.predict_proba(x).shape == (1, *shape)


def test_padding_is_cut_off_where_it_was_put_on() -> None:
    seen: list[torch.Tensor] = []

    class Listener(torch.nn.Module):
        def forward(self, slices: torch.Tensor) -> torch.Tensor:
            seen.append(slices)
            return slices

    x = torch.randn(2, 1, 33, 70, generator=torch.Generator().manual_seed(0))
    assert torch.equal(PaddedNet(Listener())(x), x)
    assert seen[0].shape == (2, 1, 64, 96)
    torch.testing.assert_close(seen[0].sum(), x.sum())


def test_a_saved_model_gives_the_same_output(trained: ScarSegmenter, tmp_path: Path) -> None:
    x, _ = discs(2, seed=1)
    save_model(trained, tmp_path / "scar.model")
    np.testing.assert_array_equal(load_model(tmp_path / "scar.model").predict_proba(x), trained.predict_proba(x))


def test_weights_from_a_plain_file_need_no_training(trained: ScarSegmenter, tmp_path: Path) -> None:
    x, _ = discs(2, seed=1)
    weights = {name: tensor.contiguous() for name, tensor in trained.network_.network.state_dict().items()}
    save_file(weights, tmp_path / "swin.safetensors")
    made = ScarSegmenter.from_weights(load_pretrained(tmp_path / "swin.safetensors"), feature_size=12, device="cpu")
    np.testing.assert_array_equal(made.predict_proba(x), trained.predict_proba(x))
    save_model(made, tmp_path / "scar.model")
    loaded = load_model(tmp_path / "scar.model")
    np.testing.assert_array_equal(loaded.predict_proba(x), trained.predict_proba(x))
    assert loaded.pretraining_ == {"file": "swin.safetensors"}


def test_weights_of_another_size_are_refused(trained: ScarSegmenter) -> None:
    with pytest.raises(ValueError, match="same architecture"):
        ScarSegmenter.from_weights(trained.trained_weights(), feature_size=24)


def test_training_goes_on_from_the_weights_given(trained: ScarSegmenter) -> None:
    x, y = discs(4, seed=2)
    tuned = segmenter(pretrained=trained.trained_weights(), learning_rate=1e-12).fit(x, y)
    scratch = segmenter(learning_rate=1e-12).fit(x, y)
    assert tuned.curve_.training[0] < 0.5 * scratch.curve_.training[0]


def test_the_same_seed_gives_the_same_masks_and_another_does_not() -> None:
    x, y = discs(4)
    first = segmenter(random_state=3).fit(x, y)
    np.testing.assert_array_equal(clone(first).fit(x, y).predict_proba(x), first.predict_proba(x))
    other = clone(first).set_params(random_state=4).fit(x, y)
    assert not np.allclose(other.predict_proba(x), first.predict_proba(x), atol=1e-4)


def test_one_patient_cannot_be_both_learnt_from_and_watched() -> None:
    with pytest.raises(ValueError, match="from 1 patient"):
        segmenter(patience=1).fit(*discs(4), groups=np.zeros(4))


def test_there_is_no_scar_outside_the_myocardium_nor_does_what_lies_there_matter() -> None:
    x, y = discs(4)
    myocardium = np.zeros_like(x)
    myocardium[:, :, 8:32, 8:32] = 1
    both = np.concatenate([x, myocardium], axis=1)
    model = segmenter(within_myocardium=True).fit(both, y)
    shares = model.predict_proba(both)
    assert (shares[myocardium[:, 0] == 0] == 0).all()
    assert (shares[myocardium[:, 0] == 1] > 0).all()
    both[:, 0][myocardium[:, 0] == 0] = 1e4
    np.testing.assert_array_equal(model.predict_proba(both), shares)


def test_intensities_go_from_0_to_1_within_the_myocardium() -> None:
    x, _ = discs(3)
    inside = np.hypot(*np.mgrid[-20:20, -20:20]) < 15
    both = np.concatenate([x, np.broadcast_to(inside, x.shape)], axis=1)
    for one in segmenter(within_myocardium=True).network_inputs(both).numpy()[:, 0]:
        assert (one[inside].min(), one[inside].max()) == (0, 1)
        assert (one[~inside] == 0).all()


def test_dice_of_a_half_overlap_and_of_nothing() -> None:
    one = np.zeros((3, 4, 4), dtype=bool)
    two = np.zeros((3, 4, 4), dtype=bool)
    one[0, :2], two[0, 1:3] = True, True  # 8 pixels each, 4 of them in both
    one[1, 0, 0] = True
    np.testing.assert_allclose(dice(one, two), [0.5, 0.0, 1.0])


def test_the_loss_is_cross_entropy_plus_one_minus_dice() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, masks = torch.randn(2, 2, 3, 3, generator=generator), torch.zeros(2, 3, 3, dtype=torch.long)
    masks[0, 1, :2] = 1
    overlap = total = entropy = 0.0
    for i, r, c in np.ndindex(2, 3, 3):
        none, scar = np.exp(logits[i, :, r, c].numpy().astype(float))
        truth = int(masks[i, r, c])
        overlap += truth * scar / (none + scar)
        total += truth + scar / (none + scar)
        entropy -= np.log((scar if truth else none) / (none + scar)) / 18

    class Fixed(torch.nn.Module):
        def forward(self, _: torch.Tensor) -> torch.Tensor:
            return logits

    loss = float(DiceCrossEntropy()(Fixed(), (torch.zeros(2, 1, 3, 3), masks)))
    assert loss == pytest.approx(entropy + 1 - (2 * overlap + 1) / (total + 1), rel=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:, 0], y), r"need \(n, 1, height, width\)"),
        (lambda x, y: (np.where(np.arange(40) == 3, np.nan, x), y), r"X\[0\] has pixels that are not finite \(4 of 4"),
        (lambda x, y: (np.ones_like(x), y), r"X\[0\] is flat"),
        (lambda x, y: (x, 255 * y), "mask 0 holds 255, need 0 or 1"),
        (lambda x, y: (x, y[:2]), "one for each slice"),
        (lambda x, y: (x, 0 * y), "none of the 4 masks has scar"),
    ],
)
def test_slices_and_masks_that_do_not_fit_are_refused(change: Any, message: str) -> None:
    x, y = discs(4)
    with pytest.raises(ValueError, match=message):
        segmenter().fit(*change(x, y.astype(int)))


def test_a_package_that_is_missing_is_named_before_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml.segmentation.find_spec", lambda _: None)
    with pytest.raises(ModuleNotFoundError, match=r"needs einops.*crt-twin\[deep\]"):
        segmenter().fit(*discs(2))


@pytest.mark.parametrize("size", [0, 20, 12_000])
def test_a_file_cannot_ask_for_a_network_of_any_size(trained: ScarSegmenter, tmp_path: Path, size: int) -> None:
    save_model(trained, tmp_path / "scar.model")
    name, parts = read_parts(tmp_path / "scar.model")
    parts.settings["feature_size"] = size
    write_parts(tmp_path / "scar.model", name, parts)
    with pytest.raises(ValueError, match="multiple of 12 from 12 to 96"):
        load_model(tmp_path / "scar.model")
