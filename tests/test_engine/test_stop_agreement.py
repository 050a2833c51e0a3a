"""Threads stand for processes, and a barrier for the gradients."""

import threading
from datetime import timedelta

import pytest
import torch

from mmdskd.engine.stop_agreement import (
    LEAVE,
    NO,
    SAVE,
    StopAlone,
    StopTogether,
    make_stop,
)


@pytest.fixture
def store():
    return torch.distributed.TCPStore(
        '127.0.0.1',
        0,
        is_master=True,
        wait_for_workers=False,
        timeout=timedelta(seconds=10),
    )


def client(store):
    return torch.distributed.TCPStore('127.0.0.1', store.port)


def test_alone():
    asked = []
    stop = make_stop(lambda: bool(asked))
    assert isinstance(stop, StopAlone)
    assert stop.decide() == NO
    asked.append(True)
    assert stop.decide() == SAVE
    stop.close()


@pytest.mark.parametrize('asked', [0, 2])
def test_all_stop_after_the_same_iteration(store, asked):
    """Whoever was asked. Each waits in an iteration for the others."""
    world_size = 3
    gradients = threading.Barrier(world_size)
    ends = {}

    def run(rank):
        iterations = [0]
        stop = StopTogether(
            lambda: rank == asked and iterations[0] >= 5,
            client(store),
            rank,
            world_size,
            interval=0.01,
        )
        while True:
            gradients.wait(20)
            iterations[0] += 1
            decision = stop.decide()
            if decision != NO:
                ends[rank] = decision, iterations[0]
                return

    threads = [
        threading.Thread(target=run, args=(rank,))
        for rank in range(world_size)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(ends) == world_size
    ((decision, iteration),) = set(ends.values())
    assert decision == SAVE
    assert iteration >= 5


def test_one_that_does_not_answer(store):
    """The others leave in time, without a checkpoint."""
    stop = StopTogether(lambda: True, store, 0, 2, interval=0.01, patience=0.3)
    decision = NO
    while decision == NO:
        decision = stop.decide()
    assert decision == LEAVE


def test_closed_at_the_end_of_a_run(store):
    stop = StopTogether(lambda: False, store, 0, 1, interval=0.01)
    assert stop.decide() == NO
    stop.close()
    assert not stop.thread.is_alive()
