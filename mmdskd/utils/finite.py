"""Find tensors that hold nan or inf."""

import logging
from collections.abc import Iterable

from mmengine.logging import print_log
from torch import Tensor

#: How the names of weights, biases and running statistics end.
WEIGHT_NAMES = ('weight', 'bias', 'running_mean', 'running_var')


def nonfinite_tensors(tensors: Iterable[tuple[str, Tensor]]) -> list[str]:
    """Name the tensors that training or testing can't do with.

    A nan is one everywhere. An inf is one beside other values, or in weights,
    biases and running statistics; a buffer may hold it alone, or beside
    zeros, as masks and the limits of observers do.

    Args:
        tensors (Iterable[tuple[str, Tensor]]): Names and tensors, such as
            those of ``named_parameters()`` or of a ``state_dict``. What is
            not a tensor of floats is left out.

    Returns:
        list[str]: The names.
    """
    return [name for name, tensor in tensors if _is_broken(name, tensor)]


def _is_broken(name: str, tensor: Tensor) -> bool:
    if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
        return False
    finite = tensor.isfinite()
    if finite.all():
        return False
    if name.endswith(WEIGHT_NAMES) or tensor.isnan().any():
        return True
    return bool((tensor[finite] != 0).any())


def nonfinite_text(owner: str, names: list[str]) -> str:
    """Write that tensors hold nan or inf.

    Args:
        owner (str): Whose they are, such as "The student".
        names (list[str]): Names of the tensors.

    Returns:
        str: A sentence with their number and the first three.
    """
    more = f' and {len(names) - 3} more' if len(names) > 3 else ''
    return (
        f'{owner} holds nan or inf in {len(names)} tensors, so its results '
        f'mean nothing: {", ".join(names[:3])}{more}.'
    )


def log_nonfinite(owner: str, tensors: Iterable[tuple[str, Tensor]]) -> bool:
    """Log an error if tensors hold nan or inf.

    Args:
        owner (str): Whose they are, such as "The student".
        tensors (Iterable[tuple[str, Tensor]]): Names and tensors, see
            :func:`nonfinite_tensors`.

    Returns:
        bool: Whether they do.
    """
    names = nonfinite_tensors(tensors)
    if names:
        print_log(nonfinite_text(owner, names), 'current', logging.ERROR)
    return bool(names)
