"""Many patients on the cores of one machine, in processes that may raise, exit, hang or be killed without harm to others."""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pebble import ProcessExpired, ProcessPool

Task = TypeVar("Task")

# A worker is replaced after so many patients, lest what leaks adds up (our choice).
_PATIENTS_PER_WORKER = 50
# A pool in which a worker dies between two patients is replaced; if that goes on, something else is wrong.
_BROKEN_POOLS = 3
# How often a broken pool is looked for.
_LOOK_S = 1.0
# Patients share the cores, one each: threads would only get in each other's way.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


@dataclass(frozen=True, kw_only=True)
class Workers(Generic[Task]):
    """How patients are worked on.

    Attributes:
        function: of a module, called in a worker.
        arguments: of the function, for a task.
        initializer: called as a worker starts, with `initargs`.
        jobs: workers at a time.
        timeout_s: how long one task may take.
    """

    function: Callable[..., Any]
    arguments: Callable[[Task], tuple[Any, ...]]
    initializer: Callable[..., None]
    initargs: tuple[Any, ...]
    jobs: int
    timeout_s: float

    def results(self, tasks: Iterable[Task]) -> Generator[tuple[Task, Any]]:
        """Each task with what the function returned, or the error that replaced it, in the order in which they end.

        A `TimeoutError` stands for a task that took too long, a `ProcessExpired` for a worker that died.

        Raises:
            OSError: if workers die again and again before they are given a task.
        """
        waiting, broken = deque(tasks), 0
        with _environment(_ONE_THREAD):
            while waiting:
                lost = []
                for task, result in self._from_one_pool(waiting):
                    if isinstance(result, BrokenProcessPool):
                        lost.append(task)
                    else:
                        broken = 0
                        yield task, result
                waiting.extendleft(lost)
                broken += 1
                if broken > _BROKEN_POOLS and waiting:
                    raise OSError("the workers die as they start; is there enough memory? Try fewer jobs")

    def _from_one_pool(self, waiting: deque[Task]) -> Iterator[tuple[Task, Any]]:
        """As `results`, as long as the pool lasts; what it loses comes back with a `BrokenProcessPool`."""
        pool = ProcessPool(
            max_workers=min(self.jobs, len(waiting)),
            max_tasks=_PATIENTS_PER_WORKER,
            initializer=self.initializer,
            initargs=self.initargs,
            context=multiprocessing.get_context("spawn"),
        )
        running: dict[Future[Any], Task] = {}
        try:
            while waiting or running:
                # One more than there are workers, so that none waits for its next task.
                while waiting and len(running) <= self.jobs:
                    task = waiting.popleft()
                    running[_scheduled(pool, self.function, self.arguments(task), self.timeout_s)] = task
                done, _ = wait(running, timeout=_LOOK_S, return_when=FIRST_COMPLETED)
                for future in done:
                    yield running.pop(future), future.exception() or future.result()
                if not done and not pool.active:
                    yield from ((task, BrokenProcessPool()) for task in running.values())
                    return
        finally:
            pool.stop()
            pool.join()


def death(expired: ProcessExpired) -> str:
    """What is known of a worker that died."""
    code = int(expired.exitcode)
    if code >= 0:
        return f"the worker exited with code {code}"
    return f"the worker was killed by {signal.Signals(-code).name}; if the machine ran out of memory, try fewer jobs"


def _scheduled(pool: ProcessPool, function: Callable[..., Any], args: tuple[Any, ...], timeout: float) -> Future[Any]:
    try:
        scheduled: Future[Any] = pool.schedule(function, args=args, timeout=timeout)
    except RuntimeError:  # pebble's word for a pool that broke since it was last looked at
        lost: Future[Any] = Future()
        lost.set_exception(BrokenProcessPool())
        return lost
    return scheduled


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """What processes started meanwhile find in their environment; numba and BLAS read it as they are imported."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
