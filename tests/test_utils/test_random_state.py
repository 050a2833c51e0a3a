import random

import numpy as np
import pytest
import torch

from mmdskd.utils.random_state import keep_random_state


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
