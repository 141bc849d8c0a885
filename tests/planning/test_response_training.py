import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.planning.synthetic_pool import synthetic_pool
from twin.planning.errors import InputError, SettingsError
from twin.planning.response_cohort import ResponseCohort, read_cohort
from twin.planning.response_training import Trained, train_response
from twin.planning.scoring import load_carded_model


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> ResponseCohort:
    path = tmp_path_factory.mktemp("pool") / "pool.parquet"
    synthetic_pool(90, sites=2).to_parquet(path)
    return read_cohort(path)


def trained(cohort: ResponseCohort, out: Path) -> Trained:
    return train_response(cohort, out, rebuild="crt-twin train ...", repeats=1, told=lambda *_: None)


@pytest.fixture(scope="module")
def model(cohort: ResponseCohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model") / "a.model"
    trained(cohort, out)
    return out


def test_the_model_knows_its_patients_by_name_and_gives_intervals(cohort: ResponseCohort, model: Path) -> None:
    carded = load_carded_model(model)
    assert carded is not None
    answers = carded.model.answer(cohort.implanted.iloc[:5])
    assert [nearest[0].patient for nearest in answers.nearest] == cohort.implanted["patient"][:5].tolist()
    assert ((answers.low < answers.probability) & (answers.probability < answers.high)).all()


def test_the_card_names_the_model_file_by_its_hash_and_says_virtual_patients(
    cohort: ResponseCohort, model: Path
) -> None:
    card = json.loads(model.with_name("a.model.card.json").read_text(encoding="utf-8"))
    page = model.with_name("a.model.card.md").read_text(encoding="utf-8")
    assert card["model_sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert card["card"]["virtual"]
    assert (card["card"]["patients"], card["card"]["responders"]) == (len(cohort.outcome), cohort.outcome.sum())
    for words in ("Virtual patients", "not for diagnosis or treatment", card["model_sha256"], "crt-twin train"):
        assert words in page


def test_the_card_of_real_patients_does_not_say_virtual(cohort: ResponseCohort, tmp_path: Path) -> None:
    trained(replace(cohort, virtual=False), tmp_path / "real.model")
    assert "irtual" not in (tmp_path / "real.model.card.md").read_text(encoding="utf-8")


def test_training_again_gives_the_same_bytes(cohort: ResponseCohort, model: Path, tmp_path: Path) -> None:
    trained(cohort, tmp_path / "a.model")
    for suffix in ("", ".card.json", ".card.md"):
        name = f"a.model{suffix}"
        assert (tmp_path / name).read_bytes() == model.with_name(name).read_bytes()


def test_other_outcomes_make_another_hash_of_the_data(cohort: ResponseCohort, tmp_path: Path) -> None:
    pool = synthetic_pool(90, sites=2)
    pool.loc[pool["patient"] == "v00000", "lvesv_change_percent"] *= -1
    pool.to_parquet(tmp_path / "pool.parquet")
    assert read_cohort(tmp_path / "pool.parquet").sha256 != cohort.sha256


def test_too_few_responders_are_refused(cohort: ResponseCohort, tmp_path: Path) -> None:
    outcome = np.zeros_like(cohort.outcome)
    outcome[:3] = 1
    with pytest.raises(InputError, match="3 patients of one outcome"):
        trained(replace(cohort, outcome=outcome), tmp_path / "a.model")


def test_a_folder_that_is_not_there_is_a_wrong_setting(cohort: ResponseCohort, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="folder that exists"):
        trained(cohort, tmp_path / "none" / "a.model")
