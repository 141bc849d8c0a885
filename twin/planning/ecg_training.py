"""From a table of ECGs or scar slices to a model file with its evaluation beside it.

The model is fitted to everybody first, which finds what is wrong with single ECGs before the long cross-validation begins;
that then says what such a model can be expected to do. What is done is kept in MODEL.partial/ until both are written, so that
the same call goes on where it was cut off, to the same numbers.

Units: mV, Hz.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, TypeAlias

from ml.evaluation import PUBLISHED, Evaluation, evaluate
from ml.models import model_class
from twin.planning.ecg_case import Case, read_case
from twin.planning.ecg_groups import EcgGroups, groups_of
from twin.planning.ecg_masks import EvaluatedMasks, evaluate_masks
from twin.planning.ecg_models import ModelInfo, Training, as_input_error, model_info, rows_named
from twin.planning.ecg_numbers import EvaluatedNumbers, evaluate_numbers
from twin.planning.ecg_pair import evaluation_folder, partial_folder, write_pair
from twin.planning.ecg_request import Request, checked_settings
from twin.planning.errors import SettingsError

Told: TypeAlias = Callable[[int, int, str], None]  # steps done, of how many, what is going on
Evaluated: TypeAlias = Evaluation | EvaluatedNumbers | EvaluatedMasks | EcgGroups


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What was written.

    Attributes:
        training: what the model file says of itself.
        notes: what was done to the lengths of the ECGs, and a line for each row that was left out.
        evaluation: what stands beside it; None with 0 seeds.
    """

    training: Training
    notes: tuple[str, ...]
    evaluation: Evaluated | None


def train(request: Request, told: Told) -> Trained:
    """Fit, evaluate, write: all or nothing.

    Raises:
        SettingsError: if what was asked for cannot be.
        InputError: if the table or one of its files cannot be used.
        ModuleNotFoundError: naming the extra, if the packages of the model are not installed.
    """
    info = model_info(request.name)
    _check_request(request, info)
    model_type = model_class(request.name)
    settings = checked_settings(request.name, model_type, request.settings)
    if request.unlabelled and "unlabelled" not in inspect.signature(model_type).parameters:
        raise SettingsError(f"--unlabelled: {request.name} learns from labelled data alone; take ssl-resnet18-image")
    told(0, 1, "reading")
    with as_input_error(request.table.name):
        case = read_case(request, info)
    model = model_type(**settings, **_derived(request, case, model_type))
    training = Training(
        learnt_from="virtual patients" if request.virtual or case.virtual else "patients",
        patients=case.n_patients,
        ecgs=len(case.samples),
        unlabelled_ecgs=0 if case.unlabelled is None else len(case.unlabelled),
        columns=tuple(case.outcomes),
        ecg=case.ecg,
        length=request.length,
        data_sha256=case.digest(),
        crt_twin=version("crt-twin"),
    )
    steps = 1 + (0 if info.learns == "groups" else request.folds * request.seeds)
    evaluation = None
    with as_input_error(request.name):
        with rows_named(case.sources):
            _fit(request, model, case, lambda epoch: told(0, steps, f"fit 1 of {steps}{epoch}"))
        told(1, steps, f"fit 1 of {steps}")
        if request.seeds:
            evaluation = _evaluated(
                request,
                info,
                model,
                case,
                training.learnt_from,
                lambda done: told(1 + done, steps, f"fit {1 + done} of {steps}"),
            )
    write_pair(request.out, request.name, model, training, evaluation)
    return Trained(training=training, notes=case.notes, evaluation=evaluation)


def _check_request(request: Request, info: ModelInfo) -> None:
    if request.ecg == "both" and info.reads != "one or two ECGs":
        raise SettingsError(f"--ecg both: {request.name} reads {info.reads}; take before or after")
    if request.out.is_dir() or not request.out.parent.is_dir():
        raise SettingsError(f"--out {request.out}: must name a file in a folder that exists")
    beside = evaluation_folder(request.out)
    if not request.seeds and beside.exists():
        raise SettingsError(
            f"--out {request.out}: {beside.name} holds the evaluation of an earlier model, and --seeds 0 makes none; remove "
            "it or write elsewhere"
        )
    for folder in (beside, partial_folder(request.out)):
        if folder.exists() and not folder.is_dir():
            raise SettingsError(f"--out {request.out}: {folder.name} is in the way; remove it or write elsewhere")


def _derived(request: Request, case: Case, model_type: type) -> dict[str, object]:
    """The arguments of the model that follow from the table and the options."""
    derived: dict[str, object] = {
        "sampling_hz": case.sampling_hz,
        "recordings": 2 if case.ecg == "both" else 1,
        "random_state": request.seed,
        "unlabelled": case.unlabelled,
        "within_myocardium": True,
    }
    known = inspect.signature(model_type).parameters
    return {name: value for name, value in derived.items() if name in known}


def _fit(request: Request, model: Any, case: Case, told: Callable[[str], None]) -> None:
    """Fit to everybody, with the patients, progress and checkpoints for those models that ask for them."""
    offered: dict[str, object] = {
        "groups": case.patients,
        "progress": lambda curve, plan: told(f", epoch {len(curve.training)} of at most {plan.max_epochs}"),
        "checkpoints": partial_folder(request.out) / "model",
    }
    asked = inspect.signature(model.fit).parameters
    told("")
    model.fit(case.samples, case.target, **{name: given for name, given in offered.items() if name in asked})


def _evaluated(
    request: Request, info: ModelInfo, model: Any, case: Case, population: str, told: Callable[[int], None]
) -> Evaluated:
    if info.learns == "groups":
        return groups_of(model, case, population)
    options: dict[str, Any] = {
        "folds": request.folds,
        "seeds": request.seeds,
        "virtual": population == "virtual patients",
        "progress": lambda done, _: told(done),
        "checkpoints": partial_folder(request.out),
    }
    if case.masks is not None:
        return evaluate_masks(model, case.samples, case.masks, case.patients, **options)
    options |= {"groups": case.patients, "published": PUBLISHED.get(request.name, ())}
    if info.learns == "numbers":
        return evaluate_numbers(
            request.name, model, case.samples, case.outcomes, times=case.times, events=case.events, **options
        )
    (outcome,) = case.outcomes.values()
    return evaluate({request.name: model}, case.samples, outcome, positive=case.positive, **options)
