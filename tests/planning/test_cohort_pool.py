"""Workers that die: what they worked on is told, what they had not begun is not lost."""

import os
import signal
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import Any

import pytest
from pebble import ProcessExpired

from twin.planning.cohort_pool import Workers, death


def die_unless_last(lives: Path) -> None:
    """An initializer: the file has a line for every worker that dies before it is given anything."""
    left = lives.read_text()
    if left:
        lives.write_text(left[1:])
        os.kill(os.getpid(), signal.SIGKILL)


def work(task: int, _: int) -> int:
    if task == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    if task == 14:
        signal.pause()
    return task * 10


def results(lives: Path, tasks: list[int], timeout_s: float = 60) -> dict[int, Any]:
    workers = Workers[int](
        function=work,
        arguments=lambda task: (task, 0),
        initializer=die_unless_last,
        initargs=(lives,),
        jobs=1,
        timeout_s=timeout_s,
    )
    return dict(workers.results(tasks))


@pytest.fixture
def lives(tmp_path: Path) -> Path:
    (tmp_path / "lives").write_text("")
    return tmp_path / "lives"


def test_a_worker_that_dies_before_it_is_given_a_task_costs_nothing(lives: Path) -> None:
    lives.write_text("xx")
    assert results(lives, [1, 2, 3]) == {1: 10, 2: 20, 3: 30}


def test_workers_that_all_die_are_given_up(lives: Path) -> None:
    lives.write_text("x" * 99)
    with pytest.raises(OSError, match="the workers die as they start"):
        results(lives, [1, 2])
    assert len(lives.read_text()) > 80


def test_a_task_that_is_killed_or_hangs_costs_only_itself(lives: Path) -> None:
    ended = results(lives, [1, 13, 14, 2], timeout_s=2)
    assert (ended[1], ended[2]) == (10, 20)
    assert isinstance(ended[13], ProcessExpired)
    assert death(ended[13]).startswith("the worker was killed by SIGKILL")
    assert isinstance(ended[14], FutureTimeoutError)


def test_the_environment_is_as_before(lives: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    results(lives, [1])
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert "NUMBA_NUM_THREADS" not in os.environ
