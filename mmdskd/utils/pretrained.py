"""Weights that an ``init_cfg`` of type ``Pretrained`` names."""

import copy
import os.path as osp
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Optional

import torch
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from .text import shorten


def _read_weights(path: str, init: Mapping[str, Any]) -> dict[str, Tensor]:
    """Read the tensors that the initializer hands to the module."""
    checkpoint = init['checkpoint']
    if '://' not in checkpoint and not osp.isfile(checkpoint):
        raise FileNotFoundError(
            f'{path}.init_cfg.checkpoint should be a file or a URL, but there '
            f'is no file {checkpoint!r} (looked from {osp.abspath(".")})'
        )
    loaded = CheckpointLoader.load_checkpoint(checkpoint, 'cpu', 'silent')
    weights = loaded.get('state_dict', loaded)
    prefix = init.get('prefix')
    if prefix is None:
        return {name.removeprefix('module.'): w for name, w in weights.items()}
    prefix = prefix if prefix.endswith('.') else f'{prefix}.'
    found = {
        name[len(prefix) :]: weight
        for name, weight in weights.items()
        if name.startswith(prefix)
    }
    if not found:
        raise ValueError(
            f'{path}.init_cfg.prefix should be the start of names in '
            f'{checkpoint}, but no name there starts with {prefix!r}; they '
            f'are {shorten(list(weights))}'
        )
    return found


def find_left(
    path: str, module: nn.Module, init: Mapping[str, Any]
) -> tuple[list[str], int]:
    """Find the tensors that an ``init_cfg`` leaves as they are.

    Args:
        path (str): Where the config has the module, for the message.
        module (nn.Module): The module. It is not changed.
        init (dict): The ``init_cfg``, of type ``Pretrained``.

    Returns:
        tuple[list[str], int]: Their names, and the number of all tensors.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If the file holds not one tensor of the module.
    """
    weights = _read_weights(path, init)
    # The module itself knows what it renames or resizes when it loads.
    copied = copy.deepcopy(module)
    state = {
        name: value
        for name, value in copied.state_dict().items()
        if value.is_floating_point() and value.numel()
    }
    with torch.no_grad():
        for value in state.values():
            value.fill_(float('nan'))
    # Of other shapes; the others are loaded.
    with suppress(RuntimeError):
        copied.load_state_dict(weights, strict=False)
    left = [name for name, value in state.items() if value.isnan().all()]
    if state and len(left) == len(state):
        raise ValueError(
            f'{path}.init_cfg should load weights, but {dict(init)} holds '
            f'none of the {len(state)} tensors of {path}. The file has '
            f'{shorten(list(weights))}; wanted are {shorten(left)}. '
            f'{_suggest(list(weights), left, init.get("prefix"))}'
        )
    return left, len(state)


def _suggest(
    names: list[str], wanted: list[str], prefix: Optional[str]
) -> str:
    """Say what to change, as far as the names tell."""
    starts = Counter(
        name[: -len(end) - 1]
        for end in wanted
        for name in names
        if name.endswith(f'.{end}')
    )
    if not starts:
        return 'Is it the file of another network?'
    [(start, _)] = starts.most_common(1)
    start = f'{prefix.rstrip(".")}.{start}' if prefix else start
    return f'Set prefix={start!r}.'
