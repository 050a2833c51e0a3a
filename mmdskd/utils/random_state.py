"""Keep the random numbers of a training as they are."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def keep_random_state(seed: int = 0) -> Iterator[None]:
    """Let what is run within draw no random numbers of the training.

    The generators of Python, NumPy and torch, on all devices, are as before
    afterwards.

    Args:
        seed (int): Seed of the numbers that are drawn within. Defaults to 0.
    """
    python, numpy = random.getstate(), np.random.get_state()
    devices = (
        list(range(torch.cuda.device_count()))
        if torch.cuda.is_initialized()
        else []
    )
    try:
        with torch.random.fork_rng(devices=devices):
            random.seed(seed)
            np.random.seed(seed)
            torch.manual_seed(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
