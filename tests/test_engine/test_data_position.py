import random

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch.utils.data import DataLoader

from mmdskd.engine.data_position import (
    PositionedBatchSampler,
    PositionedIterator,
    begin_pass,
    keep_seeds_apart,
    position_batches,
)


class Draws(torch.utils.data.Dataset):
    """Samples that say what three kinds of random numbers are."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return torch.tensor(
            [index, random.random(), np.random.rand(), torch.rand(1).item()],
            dtype=torch.float64,
        )


def make_loader(workers, sampler=None, **kwargs):
    dataset = Draws()
    return DataLoader(
        dataset,
        batch_size=2,
        sampler=sampler or DefaultSampler(dataset, seed=3),
        num_workers=workers,
        **kwargs,
    )


def numbers(batches):
    return [batch.tolist() for batch in batches]


@pytest.mark.parametrize('persistent', [False, True])
def test_workers_draw_by_the_batch(persistent):
    """Not by the number of workers, nor by what they have loaded before."""
    epoch = [0]
    passes = []
    for workers in (1, 2):
        loader = make_loader(workers, persistent_workers=persistent)
        position_batches(loader, lambda: (5, 0, epoch[0]))
        for epoch[0] in (0, 1):
            passes.append(numbers(begin_pass(loader, None, 0)))
    assert passes[0] == passes[2] != passes[1] == passes[3]
    assert len({row[1] for batch in passes[0] for row in batch}) == 8

    loader = make_loader(1)
    sampler = position_batches(loader, lambda: (5, 0, 1))
    assert numbers(begin_pass(loader, sampler, 3)) == passes[1][3:]


@pytest.mark.parametrize('positioned', [True, False])
def test_rest_of_a_pass(positioned):
    """Its numbers are those that come next; skipping draws none."""
    torch.manual_seed(1)
    loader = make_loader(0)
    batches = iter(loader)
    next(batches)
    next(batches)
    state = torch.get_rng_state()
    expected = [batch[:, 3].tolist() for batch in batches]
    indices = numbers(iter(make_loader(0)))

    loader = make_loader(0)
    sampler = position_batches(loader, lambda: ()) if positioned else None
    torch.set_rng_state(state)
    rest = list(begin_pass(loader, sampler, 2))
    assert [batch[:, 3].tolist() for batch in rest] == expected
    assert [batch[:, 0].tolist() for batch in rest] == [
        [row[0] for row in batch] for batch in indices[2:]
    ]
    assert len(loader) == 4  # of a whole pass
    assert len(list(loader)) == 4


def test_order_that_is_drawn_by_the_run_itself():
    """torch's own sampler takes its seed from the run at the start."""
    loader = DataLoader(Draws(), batch_size=2, shuffle=True)
    sampler = position_batches(loader, lambda: ())
    torch.manual_seed(1)
    whole = [batch[:, 0].tolist() for batch in loader]
    start = sampler.start
    torch.manual_seed(7)
    sampler.start = start
    rest = [batch[:, 0].tolist() for batch in begin_pass(loader, sampler, 1)]
    assert rest == whole[1:]


@pytest.mark.parametrize('onedl', [False, True])
@pytest.mark.parametrize('infinite', [False, True])
def test_endless_iterator_goes_on(infinite, onedl, monkeypatch):
    monkeypatch.setattr('mmengine.runner.loops.time.sleep', lambda _: None)

    def make(**kwargs):
        kind = InfiniteSampler if infinite else DefaultSampler
        loader = make_loader(0, kind(Draws(), seed=2))
        iter(loader.sampler)
        sampler = position_batches(loader, lambda: ())
        return PositionedIterator(loader, sampler, **kwargs)

    whole = make()
    indices = [next(whole)[:, 0].tolist() for _ in range(10)]
    # Four batches are a pass.
    place = (0, 6) if infinite else (1, 2)
    rest = make(passes=place[0], taken=place[1], done=6)
    if onedl:
        rest.skip_iter(6)
    else:
        assert [next(rest) for _ in range(6)] == [None] * 6
    assert [next(rest)[:, 0].tolist() for _ in range(4)] == indices[6:]
    assert (rest.passes, rest.taken) == (whole.passes, whole.taken)


def test_what_can_not_be_positioned():
    assert position_batches([1, 2], lambda: ()) is None
    assert position_batches(DataLoader(Draws(), None), lambda: ()) is None
    loader = make_loader(0)
    first = position_batches(loader, lambda: ())
    second = position_batches(loader, lambda: ())
    assert isinstance(second, PositionedBatchSampler)
    assert second.batch_sampler is first.batch_sampler
    assert second.batch_size == 2  # of the sampler within


def test_persistent_workers_draw_no_seed_of_the_run():
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    loader = make_loader(1, persistent_workers=True)
    keep_seeds_apart(loader, 0)
    list(loader)
    assert torch.equal(torch.rand(1), expected)
