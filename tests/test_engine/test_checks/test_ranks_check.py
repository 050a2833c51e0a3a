from types import SimpleNamespace

import pytest

from mmdskd.engine.checks import ranks_check
from mmdskd.engine.checks.ranks_check import check_ranks


def make_runner(loader):
    return SimpleNamespace(train_loop=SimpleNamespace(dataloader=loader))


@pytest.fixture
def others(monkeypatch):
    """Let the other ranks have these numbers of iterations."""

    def set_others(*lengths):
        monkeypatch.setattr(
            ranks_check, 'get_world_size', lambda: 1 + len(lengths)
        )
        monkeypatch.setattr(
            ranks_check, 'all_gather_object', lambda own: [own, *lengths]
        )

    return set_others


def test_one_process():
    check_ranks(make_runner(range(3)))


def test_equal_numbers(others):
    others(3, 3)
    check_ranks(make_runner(range(3)))


def test_loader_without_length(others):
    others(None)
    check_ranks(make_runner(iter([])))


def test_other_numbers(others):
    others(2)
    with pytest.raises(ValueError) as raised:
        check_ranks(make_runner(range(3)))
    assert str(raised.value) == (
        'train_dataloader should have the same number of iterations on all '
        'ranks, but has [3, 2]. Let the sampler fill up the last batches '
        '(round_up=True of DefaultSampler), or set drop_last=True where that '
        'makes them equal.'
    )
