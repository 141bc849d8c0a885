"""One training loop for all networks: Adam, early stopping, checkpoints; the same seed gives the same numbers.

Every epoch draws its order and its dropout from (seed, epoch) alone, so that a run that was cut off goes on to the numbers
that it would have reached. The caller's random state is left as it was. On a CPU the same machine and number of threads
give the same bits; on a GPU convolutions are held to deterministic algorithms, other operations are not.

Needs the extra [deep].
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ml.model_store import ModelParts, read_parts, write_parts

Data = tuple[Tensor, ...]

# Of the time, at most, goes into writing checkpoints (our choice).
_WRITING_SHARE = 0.1


class Objective(Protocol):
    """What is made small: the mean loss of a batch. A frozen dataclass: its repr stands for it in a checkpoint."""

    def __call__(self, network: nn.Module, batch: Data) -> Tensor:
        """A scalar; random draws come from torch's own generator."""


@dataclass(frozen=True, slots=True)
class Supervised:
    """Mean loss of a network's answers against the last tensor of a batch.

    Attributes:
        task: "two classes" (binary cross-entropy; one logit, targets 0 or 1), "classes" (cross-entropy; targets are
            class numbers) or "values" (squared error; answers and targets of one shape).
    """

    task: Literal["two classes", "classes", "values"]

    def __call__(self, network: nn.Module, batch: Data) -> Tensor:
        """A scalar."""
        *inputs, target = batch
        answer: Tensor = network(*inputs).float()
        if self.task == "two classes":
            return F.binary_cross_entropy_with_logits(answer[:, 0], target.float())
        return F.cross_entropy(answer, target) if self.task == "classes" else F.mse_loss(answer, target)


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """How a network is trained.

    Defaults as published by Le, except that the seed, and all that follows it, is our choice.

    Attributes:
        learning_rate: of Adam, with its usual moments.
        batch_size: at most; batches of an epoch differ by one at most, so that none is left with a single patient.
        max_epochs: number of passes over the data.
        patience: epochs without a lower watched loss before the training ends; the weights of the lowest are kept. None:
            all epochs, and the last weights.
        seed: of batch order and dropout.
        device: "auto" is a GPU if torch finds one; or "cpu", "cuda", "cuda:1".
        mixed_precision: multiply in bfloat16, keep weights and losses in float32: twice as fast where the processor has
            it, slower where it has not.
    """

    learning_rate: float = 1e-4
    batch_size: int = 32
    max_epochs: int = 100
    patience: int | None = 10
    seed: int = 0
    device: str = "auto"
    mixed_precision: bool = False

    def __post_init__(self) -> None:
        whole = {"batch_size": self.batch_size, "max_epochs": self.max_epochs}
        if self.patience is not None:
            whole["patience"] = self.patience
        for name, number in whole.items():
            if number < 1:
                raise ValueError(f"{name} is {number}, need at least 1")
        if not 0 < self.learning_rate < np.inf:
            raise ValueError(f"learning_rate is {self.learning_rate}, need more than 0")


@dataclass
class LearningCurve:
    """The mean loss of every epoch, and the epoch, from 0, whose weights were kept."""

    training: list[float] = field(default_factory=list)
    watched: list[float] = field(default_factory=list)
    kept_epoch: int = -1


Progress = Callable[[LearningCurve, TrainingPlan], None]


def train(
    network: nn.Module,
    data: Data,
    objective: Objective,
    plan: TrainingPlan,
    *,
    watched: Data | None = None,
    progress: Progress | None = None,
    checkpoints: Path | None = None,
) -> LearningCurve:
    """Train a network in place; it comes back on the CPU, ready to answer.

    Args:
        network: with its first weights; see `seeded`.
        data: tensors of n rows each.
        objective: the loss of such tensors.
        plan: how.
        watched: rows whose loss decides when to stop; needed if the plan has a patience.
        progress: called after every epoch.
        checkpoints: folder that keeps the state of unfinished runs and the result of finished ones, each under the hash of
            its network, data, objective and plan: the same call goes on where it was cut off.

    Raises:
        ValueError: if there are fewer than two rows, the plan has a patience and nothing is watched, the device is not
            there, the checkpoint is damaged, or the loss is no longer finite.
    """
    if len(data[0]) < 2:
        raise ValueError(f"{len(data[0])} rows are too few to train on, need at least 2")
    if plan.patience is not None and watched is None:
        raise ValueError("a plan with patience needs rows to watch; give some, or set patience=None")
    device = find_device(plan.device)
    path = None
    if checkpoints is not None:
        path = checkpoints / f"{_fingerprint(network, data, objective, plan, watched)}.checkpoint"
    run = _Run(_moved(network, device), plan)
    if path is not None and path.is_file():
        try:
            run.restore(read_parts(path)[1])
        except (ValueError, KeyError, TypeError, RuntimeError) as error:  # of what is no checkpoint of this run
            raise ValueError(f"{path} cannot be gone on with; remove it to train anew: {error}") from error
    next_write = -np.inf
    while not run.finished:
        epoch = len(run.curve.training)
        with _determined(device, plan, epoch):
            run.curve.training.append(run.learn(data, objective, device))
            if watched is not None:
                run.curve.watched.append(run.loss_of(watched, objective, device))
        run.keep_if_best()
        # Not after every epoch of a large network on few patients, which would take longer than the training.
        if path is not None and (run.finished or monotonic() >= next_write):
            began = monotonic()
            path.parent.mkdir(parents=True, exist_ok=True)
            write_parts(path, "checkpoint", run.parts())
            next_write = monotonic() + (monotonic() - began) / _WRITING_SHARE
        if progress is not None:
            progress(run.curve, plan)
    network.load_state_dict(run.kept)
    network.to("cpu").eval()
    return run.curve


def answers(network: nn.Module, inputs: Tensor, *, device: str = "auto", batch_size: int = 64) -> NDArray[np.float32]:
    """(n, outputs) what a trained network says, without changing it or drawing a random number."""
    where = find_device(device)
    _moved(network, where).eval()
    with torch.inference_mode():
        said = [network(_on(batch, where)).float().cpu() for batch in torch.split(inputs, batch_size)]
    network.to("cpu")
    answer: NDArray[np.float32] = torch.cat(said).numpy()
    return answer


def find_device(name: str) -> torch.device:
    """The device of this name; "auto" is a GPU if torch finds one.

    Raises:
        ValueError: if there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (AssertionError, RuntimeError):  # torch raises the one or the other
        raise ValueError(f"device {name!r} is not there; take cpu or auto") from None


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Random draws of torch follow this seed within, and go on without afterwards as if nothing had been drawn."""
    on_gpu = device is not None and device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_gpu else []):
        # Not torch.manual_seed, which would seed every GPU, also those whose state is not kept.
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


class _Run:
    """The state of a training, between two epochs."""

    def __init__(self, network: nn.Module, plan: TrainingPlan) -> None:
        self.network = network
        self.plan = plan
        self.optimizer = torch.optim.Adam(network.parameters(), lr=plan.learning_rate, fused=True)
        self.curve = LearningCurve()
        self.kept: dict[str, Tensor] = {}

    @property
    def finished(self) -> bool:
        done = len(self.curve.training)
        patience = self.plan.patience
        return done >= self.plan.max_epochs or (patience is not None and done - 1 - self.curve.kept_epoch >= patience)

    def learn(self, data: Data, objective: Objective, device: torch.device) -> float:
        n = len(data[0])
        order = torch.randperm(n)
        self.network.train()
        total = 0.0
        for rows in order.tensor_split(-(-n // self.plan.batch_size)):
            batch = tuple(_on(tensor[rows], device) for tensor in data)
            self.optimizer.zero_grad()
            with torch.autocast(device.type, torch.bfloat16, enabled=self.plan.mixed_precision):
                loss = objective(self.network, batch)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            total += float(loss.detach()) * len(rows)
        return self._mean(total, n)

    def loss_of(self, data: Data, objective: Objective, device: torch.device) -> float:
        n = len(data[0])
        self.network.eval()
        total = 0.0
        with torch.inference_mode():
            for rows in torch.arange(n).tensor_split(-(-n // self.plan.batch_size)):
                total += float(objective(self.network, tuple(_on(tensor[rows], device) for tensor in data))) * len(rows)
        return self._mean(total, n)

    def _mean(self, total: float, n: int) -> float:
        if not np.isfinite(total):
            raise ValueError(
                f"the loss is {total} after {len(self.curve.training)} epochs; take a learning_rate below "
                f"{self.plan.learning_rate}, or look for values that are far too large"
            )
        return total / n

    def keep_if_best(self) -> None:
        """The weights of the lowest watched loss so far; the last ones, if none is awaited."""
        epoch = len(self.curve.training) - 1
        if self.plan.patience is None or self.curve.watched[epoch] < min(self.curve.watched[:epoch], default=np.inf):
            self.curve.kept_epoch = epoch
            self.kept = {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}

    def parts(self) -> ModelParts:
        """All that `restore` needs; a finished run needs its result only."""
        tensors = {f"kept.{name}": tensor for name, tensor in self.kept.items()}
        if not self.finished:
            tensors |= {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
            for row, state in self.optimizer.state_dict()["state"].items():
                tensors |= {f"adam.{row}.{name}": tensor for name, tensor in state.items()}
        arrays = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
        return ModelParts(settings={}, state=asdict(self.curve), arrays=arrays)

    def restore(self, parts: ModelParts) -> None:
        curve: dict[str, Any] = parts.state
        self.curve = LearningCurve(**curve)
        groups: dict[str, dict[str, Tensor]] = {"kept": {}, "network": {}, "adam": {}}
        for name, array in parts.arrays.items():
            group, _, rest = name.partition(".")
            groups[group][rest] = torch.from_numpy(array)
        self.kept = groups["kept"]
        if not self.finished:
            self.network.load_state_dict(groups["network"])
            moments: dict[int, dict[str, Tensor]] = {}
            for name, tensor in groups["adam"].items():
                row, _, rest = name.partition(".")
                moments.setdefault(int(row), {})[rest] = tensor
            self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": moments})
            # The fused step takes it for granted that weights and moments lie in memory in the same order.
            for parameter, state in self.optimizer.state.items():
                for name in ("exp_avg", "exp_avg_sq"):
                    state[name] = torch.empty_like(parameter).copy_(state[name])


@contextmanager
def _determined(device: torch.device, plan: TrainingPlan, epoch: int) -> Iterator[None]:
    # A hash of both, so that epoch 1 of seed 0 is not epoch 0 of seed 1.
    seed = int(np.random.SeedSequence([plan.seed, epoch]).generate_state(1, np.uint64)[0] >> 1)
    with seeded(seed, device), torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        yield


def _moved(network: nn.Module, device: torch.device) -> nn.Module:
    """The network on the device, images pixel by pixel in memory: faster, and bits must not depend on who laid them out."""
    moved: nn.Module = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def _on(tensor: Tensor, device: torch.device) -> Tensor:
    layout = torch.channels_last if tensor.ndim == 4 else torch.contiguous_format
    return tensor.to(device, memory_format=layout)


def _fingerprint(network: nn.Module, data: Data, objective: Objective, plan: TrainingPlan, watched: Data | None) -> str:
    digest = hashlib.sha256(repr((plan, objective, network)).encode())
    for tensor in (*network.state_dict().values(), *data, *(() if watched is None else watched)):
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]
