import pytest

from ml.evaluation.metrics import METRICS
from ml.evaluation.published import PUBLISHED, Published

EVERY = [(name, one) for name, entries in PUBLISHED.items() for one in entries]


@pytest.mark.parametrize(("name", "one"), EVERY, ids=[f"{name}: {one.model}" for name, one in EVERY])
def test_a_published_result_names_its_source_and_known_metrics(name: str, one: Published) -> None:
    assert one.source
    assert one.values.keys() <= METRICS.keys() | {"hazard_ratio"}
    assert one.deviations.keys() <= one.values.keys()
    assert all(0 < value < 1 for metric, value in one.values.items() if metric not in ("mae", "hazard_ratio")), name


def test_the_interval_of_an_accuracy_of_58_in_74_is_wilsons() -> None:
    low, high = PUBLISHED["twin"][0].accuracy_interval or (0, 0)
    assert (round(low, 2), round(high, 2)) == (0.68, 0.86)


def test_no_interval_is_made_up_without_an_accuracy() -> None:
    assert PUBLISHED["composite"][0].accuracy_interval is None
