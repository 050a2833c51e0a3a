"""Find the weights that a network brings by itself."""

from typing import Any, Callable, NamedTuple

import torch
from torch import Tensor, nn

from .config import type_name
from .random_state import keep_random_state
from .state_dict import find_tensors

# Their classes load no weights before `init_weights`.
KNOWN_PACKAGES = ('torch', 'mmengine', 'mmcv', 'mmpretrain', 'mmrazor')
OURS = 'mmdskd'
# Of no training: two builds of a network begin with different numbers.
SEED = 20_230_618


class OwnWeights(NamedTuple):
    """The weights that a network brings by itself.

    Attributes:
        tensors (dict[str, Tensor]): Copies of all tensors of the parts of
            the network that bring weights, by their places in it.
        random (list[str]): Weights that are random.
    """

    tensors: dict[str, Tensor]
    random: list[str]


def is_pretrained(init_cfg: Any) -> bool:
    """Whether a config of an initialisation names a checkpoint.

    Args:
        init_cfg (Any): ``init_cfg`` of a module of MMEngine.

    Returns:
        bool: Whether it, or one of several, is of type ``Pretrained``.
    """
    inits = init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]
    return any(
        type_name(init) in ('Pretrained', 'PretrainedInit') for init in inits
    )


def may_bring_weights(network: nn.Module) -> bool:
    """Whether a network has classes that may load weights when built.

    Args:
        network (nn.Module): The network.

    Returns:
        bool: Whether a class of it is of another package than those that
        load weights in ``init_weights`` only.
    """
    packages = {
        type(module).__module__.partition('.')[0]
        for module in network.modules()
    }
    return not packages <= {*KNOWN_PACKAGES, OURS}


def find_own_weights(
    network: nn.Module, build: Callable[[], nn.Module]
) -> OwnWeights:
    """Find the weights of a network that no random numbers gave it.

    These are the same if it is built again with other random numbers. A
    part of a network, one of its children, brings its weights if most of
    them are so: a part that was loaded may have a new last layer, and one of
    random weights a position embedding of sines.

    Args:
        network (nn.Module): The network as it was built, before
            ``init_weights``.
        build (Callable): Builds it again.

    Returns:
        OwnWeights: Its own weights, and those that are random. Weights that
        an ``init_cfg`` of type ``Pretrained`` will load are neither.
    """
    with keep_random_state(SEED):
        again = find_tensors(build())
    loaded = [
        path
        for path, module in network.named_modules()
        if is_pretrained(getattr(module, 'init_cfg', None))
    ]
    parts: dict[str, list[tuple[str, Tensor, bool]]] = {}
    for name, tensor in find_tensors(network).items():
        if any(not path or name.startswith(f'{path}.') for path in loaded):
            continue
        is_own = name in again and torch.equal(tensor, again[name])
        parts.setdefault(name.partition('.')[0], []).append(
            (name, tensor, is_own)
        )
    own: dict[str, Tensor] = {}
    random = []
    for entries in parts.values():
        weights = [entry for entry in entries if _is_weight(entry[1])]
        same = sum(tensor.numel() for _, tensor, is_own in weights if is_own)
        total = sum(tensor.numel() for _, tensor, _ in weights)
        if 2 * same > total:
            own.update(
                (name, tensor.detach().clone()) for name, tensor, _ in entries
            )
        random += [name for name, _, is_own in weights if not is_own]
    return OwnWeights(own, random)


def _is_weight(tensor: Tensor) -> bool:
    """Whether a tensor is of a layer, not a bias or a statistic."""
    return (
        isinstance(tensor, nn.Parameter)
        and tensor.dim() > 1
        and tensor.numel() > 1
        and bool((tensor != tensor.flatten()[0]).any())
    )
