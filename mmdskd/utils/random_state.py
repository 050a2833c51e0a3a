"""Keep the random numbers of a training as they are."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Optional

import numpy as np
import torch


def get_random_state() -> dict[str, Any]:
    """Get the states of Python's, NumPy's and torch's random numbers.

    Returns:
        dict: Tensors and plain numbers, as a checkpoint may hold. ``cuda``,
        of the current device, is there once CUDA is in use.
    """
    version, words, gauss = random.getstate()
    _, key, position, has_gauss, cached = np.random.get_state()
    state = dict(
        python=torch.tensor(words),
        python_version=version,
        python_gauss=gauss,
        numpy=torch.from_numpy(np.asarray(key, np.int64)),
        numpy_rest=[int(position), int(has_gauss), float(cached)],
        torch=torch.get_rng_state(),
    )
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state['cuda'] = torch.cuda.get_rng_state()
    return state


def is_random_state(state: dict[str, Any]) -> bool:
    """Whether nothing was drawn since a state of the random numbers.

    Args:
        state (dict): What :func:`get_random_state` returned.

    Returns:
        bool: Whether the present state is the same.
    """
    return all(
        torch.equal(value, state[name])
        if isinstance(value, torch.Tensor)
        else value == state[name]
        for name, value in get_random_state().items()
        if name in state  # CUDA may have come into use
    )


def set_random_state(state: dict[str, Any]) -> None:
    """Go back to a state of the random numbers.

    Args:
        state (dict): What :func:`get_random_state` returned, its tensors on
            any device.
    """
    random.setstate(
        (
            state['python_version'],
            tuple(state['python'].tolist()),
            state['python_gauss'],
        )
    )
    key = state['numpy'].cpu().numpy().astype(np.uint32)
    np.random.set_state(('MT19937', key, *state['numpy_rest']))
    torch.set_rng_state(state['torch'].cpu())
    if 'cuda' in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'].cpu())


@contextmanager
def keep_random_state(seed: Optional[int] = None) -> Iterator[None]:
    """Leave the random numbers as they were, whatever draws within.

    Args:
        seed (int, optional): Seed of the numbers that are drawn within. None
            draws those that would come next. Defaults to None.
    """
    state = get_random_state()
    try:
        if seed is not None:
            seed_random_numbers(seed)
        yield
    finally:
        set_random_state(state)


def seed_random_numbers(*entropy: int) -> None:
    """Seed Python's, NumPy's and torch's random numbers on the CPU.

    Args:
        entropy (int): Numbers >= 0 on which the seed depends, and on nothing
            else.
    """
    seeds = np.random.SeedSequence(entropy).generate_state(8)
    np.random.seed(seeds[:4])
    random.seed(seeds[4:].tobytes())
    # Not torch.manual_seed, which keeps each call until CUDA is in use.
    torch.default_generator.manual_seed(int(seeds[0]) << 32 | int(seeds[7]))
