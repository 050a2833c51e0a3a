"""Check the weights that the student starts from."""

import copy
import os.path as osp
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Optional

import torch
from mmengine.runner import CheckpointLoader, Runner
from torch import Tensor, nn

from mmdskd.utils.model import unwrap_model
from mmdskd.utils.own_weights import is_pretrained
from mmdskd.utils.text import shorten


def check_pretrained(runner: Runner) -> None:
    """Check that each ``init_cfg`` of type ``Pretrained`` loads weights.

    MMEngine loads what has the same name and shape, and mentions the rest in
    one line among many. A wrong ``prefix`` then trains from scratch.

    Args:
        runner (Runner): The runner, whose model is not initialised yet. It is
            warned of tensors that stay as they are initialised.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If the file holds not one tensor of the module.
    """
    for path, module, init in _find_inits(unwrap_model(runner.model)):
        weights = _read_weights(path, init)
        left, number = _find_left(module, weights)
        if len(left) == number:
            raise ValueError(
                f'{path}.init_cfg should load weights, but {init} holds none '
                f'of the {number} tensors of {path}. The file has '
                f'{shorten(list(weights))}; wanted are {shorten(left)}. '
                f'{_suggest(list(weights), left, init.get("prefix"))}'
            )
        if left:
            runner.logger.warning(
                f'{path}.init_cfg loads {number - len(left)} of {number} '
                f'tensors of {path} from {init["checkpoint"]}; as they are '
                f'initialised stay {shorten(left)}. This is meant for a head '
                'of other classes, and for nothing else.'
            )


def _find_inits(
    module: nn.Module, path: str = 'model'
) -> Iterator[tuple[str, nn.Module, dict]]:
    """Find the modules that load weights, with the paths of their configs."""
    if getattr(module, '_is_init', False):  # such as a teacher that is loaded
        return
    inits: Any = getattr(module, 'init_cfg', None) or ()
    for init in [inits] if isinstance(inits, dict) else inits:
        if is_pretrained(init):
            yield path, module, dict(init)
    for name, child in module.named_children():
        yield from _find_inits(child, f'{path}.{name}')


def _read_weights(path: str, init: dict) -> dict[str, Tensor]:
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


def _find_left(
    module: nn.Module, weights: dict[str, Tensor]
) -> tuple[list[str], int]:
    """Find the tensors that weights leave as they are.

    Returns:
        tuple[list[str], int]: Their names, and the number of all tensors.
    """
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
