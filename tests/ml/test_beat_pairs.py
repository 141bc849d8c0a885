"""One net, three answers: what is asked cheaply is what the plain net says, and a file holds exactly that net."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ml.beat_pairs import PAIR_COMPONENTS, BeatPairNet, PairAnswers, _three_ways  # noqa: E402
from ml.training import TrainingPlan  # noqa: E402

N = 12


@pytest.fixture(scope="module")
def beats() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(N) % 2
    before, after = rng.normal(0, 0.3, (2, N, 12, 250)).astype(np.float32)
    return before, after + labels[:, None, None].astype(np.float32), labels


@pytest.fixture(scope="module")
def net(beats: tuple[np.ndarray, np.ndarray, np.ndarray]) -> BeatPairNet:
    return BeatPairNet.fit(*beats, TrainingPlan(max_epochs=1, device="cpu"))


@pytest.fixture(scope="module")
def said(net: BeatPairNet, beats: tuple[np.ndarray, np.ndarray, np.ndarray]) -> PairAnswers:
    return net.answer(*beats[:2])


def test_each_answer_is_that_of_the_whole_net_with_the_other_beat_blank(
    net: BeatPairNet, beats: tuple[np.ndarray, np.ndarray, np.ndarray], said: PairAnswers
) -> None:
    with torch.inference_mode():
        plain = torch.sigmoid(net._network(torch.from_numpy(_three_ways(*beats[:2]))))[:, 0].numpy()
    np.testing.assert_allclose(np.concatenate([said.before, said.after, said.both]), plain, atol=1e-5)
    assert np.ptp(plain) > 1e-3


def test_a_beat_that_is_not_read_changes_nothing(
    net: BeatPairNet, beats: tuple[np.ndarray, np.ndarray, np.ndarray], said: PairAnswers
) -> None:
    other = net.answer(beats[0], beats[1][::-1].copy())
    np.testing.assert_allclose(other.before, said.before, atol=1e-6)
    assert np.abs(other.both - said.both).max() > 1e-4


def test_the_embedding_is_centred_on_the_training_patients_and_its_components_are_uncorrelated(
    said: PairAnswers,
) -> None:
    assert said.embedding.shape == (N, PAIR_COMPONENTS)
    np.testing.assert_allclose(said.embedding.mean(axis=0), 0, atol=1e-5)
    covariance = said.embedding.T @ said.embedding / N
    np.testing.assert_allclose(covariance - np.diag(np.diag(covariance)), 0, atol=1e-5)
    assert 0 < np.trace(covariance) <= 1 + 1e-5


def test_a_file_holds_the_same_net_at_a_quarter_of_its_size(
    net: BeatPairNet, beats: tuple[np.ndarray, np.ndarray, np.ndarray], said: PairAnswers, tmp_path: Path
) -> None:
    path = tmp_path / "net.model"
    net.save(path)
    again = BeatPairNet.load(path).answer(*beats[:2])
    np.testing.assert_array_equal(again.both, said.both)
    np.testing.assert_array_equal(again.embedding, said.embedding)
    numbers = sum(weights.numel() for weights in net._network.state_dict().values())
    assert path.stat().st_size < 1.1 * numbers


def test_beats_of_another_length_are_refused(net: BeatPairNet) -> None:
    with pytest.raises(ValueError, match="need both"):
        net.answer(np.zeros((1, 12, 250), dtype=np.float32), np.zeros((1, 12, 200), dtype=np.float32))
