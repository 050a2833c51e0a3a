import random

import numpy as np
import pytest
import torch

from mmdskd.utils.random_state import (
    get_random_state,
    is_random_state,
    keep_random_state,
)


def draw():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_numbers_go_on_as_before():
    def seed():
        random.seed(1), np.random.seed(1), torch.manual_seed(1)

    seed()
    expected = draw()
    seed()
    with keep_random_state(seed=0):
        within = draw()
    assert draw() == expected != within
    seed()
    with keep_random_state():
        assert draw() == expected
    assert draw() == expected
    with pytest.raises(KeyError), keep_random_state():
        raise KeyError
    with keep_random_state(seed=0):
        assert draw() == within


@pytest.mark.parametrize(
    'draw_one',
    [random.random, np.random.rand, np.random.randn, lambda: torch.rand(1)],
)
def test_each_draw_is_noticed(draw_one):
    state = get_random_state()
    assert is_random_state(state)
    with keep_random_state():
        draw_one()
        assert not is_random_state(state)
    assert is_random_state(state)
