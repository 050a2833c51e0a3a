"""Weights, images and files for tests of the KD zoo."""

import zlib

import numpy as np
import torch


def empty(shapes):
    """Tensors that take no space in a file."""
    return {
        key: torch.zeros(()).expand(shape) for key, shape in shapes.items()
    }


def uniform(name, shape):
    """Numbers from -1 to 1, float64, that no version of numpy changes."""
    random = np.random.RandomState(zlib.crc32(name.encode()))
    return 2 * random.rand(*shape) - 1


def fill(shapes):
    """Weights from which activations neither vanish nor explode."""
    state_dict = {}
    for key, shape in shapes.items():
        if key.endswith('num_batches_tracked'):
            state_dict[key] = torch.tensor(7)
            continue
        value = uniform(key, shape)
        if len(shape) > 1:
            value = value * (6 / np.prod(shape[1:])) ** 0.5
        elif key.endswith('running_var'):
            value = 1 + 0.5 * value
        elif key.endswith('weight'):  # Of a BN.
            value = 0.9 + 0.5 * value
        else:
            value = 0.3 * value
        state_dict[key] = torch.from_numpy(value).float()
    return state_dict


def images():
    """Two images of different brightness and contrast.

    Returns:
        Tensor: (2, 3, 32, 32), float64.
    """
    first, second = torch.from_numpy(uniform('images', (2, 3, 32, 32)))
    return torch.stack([first - 0.5, 2 * second + 0.5])


def save(tmp_path, state_dict, **others):
    path = tmp_path / 'field.pth'
    torch.save(dict(model=state_dict, **others), str(path))
    return str(path)
