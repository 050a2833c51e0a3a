"""Load weights, and find what was not loaded."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable, NamedTuple, Optional

import torch
from torch import Tensor, nn

from .state_dict import (
    EXTRA_STATE,
    NEEDLESS,
    copy_tensors,
    find_tensors,
    has_names_of,
)

# Values that no trained tensor holds throughout
_MARK = 12345


class LoadReport(NamedTuple):
    """What did not fit when weights were loaded.

    Attributes:
        missing (list[str]): Tensors of the network that were not loaded.
        unexpected (list[str]): Names that the network does not have.
        mismatched (list[str]): Names and shapes that differ.
    """

    missing: list[str]
    unexpected: list[str]
    mismatched: list[str]

    @property
    def is_whole(self) -> bool:
        """Whether each tensor was loaded, and each name has its tensor."""
        return not any(self)


def load_whole(module: nn.Module, weights: dict) -> LoadReport:
    """Load weights, and find what was not loaded, whatever a class hides.

    Args:
        module (nn.Module): The module.
        weights (dict): Its state dict, or that of the tree, see
            :func:`find_tensors`, which classes that rename tensors do not
            take by themselves.

    Returns:
        LoadReport: What did not fit. The rest is loaded.
    """
    # Else the class knows better, such as how to undo what it has computed.
    changes_names = not has_names_of(module, module.state_dict())
    if changes_names and has_names_of(module, weights):
        copy_tensors(module, weights)
        return LoadReport([], [], [])
    before = find_tensors(module)
    versions = {name: tensor._version for name, tensor in before.items()}
    missing, unexpected, mismatched = _load(module, weights)
    wrong = {line.partition(':')[0] for line in mismatched}
    suspects = {
        name: tensor
        for name, tensor in find_tensors(module).items()
        if tensor is before.get(name)
        and tensor._version == versions[name]
        and tensor.numel()
        and name not in wrong
        and not name.endswith(NEEDLESS)
    }
    lost = [
        name
        for name in missing
        if name.endswith(EXTRA_STATE)  # no tensor, so no suspect
    ]
    return LoadReport(
        [*_find_unloaded(lambda: _load(module, weights), suspects), *lost],
        unexpected,
        mismatched,
    )


def _find_unloaded(
    load: Callable[[], Any], suspects: dict[str, Tensor]
) -> list[str]:
    """Find out which tensors loading leaves as they are.

    A class may write to ``tensor.data``, which leaves no trace.
    """
    if not suspects:
        return []
    with torch.no_grad():
        kept = {name: tensor.clone() for name, tensor in suspects.items()}
        mark_tensors(suspects)
        marked = {name: tensor.clone() for name, tensor in suspects.items()}
    load()
    unloaded = [
        name
        for name, tensor in suspects.items()
        if torch.equal(tensor, marked[name])
    ]
    with torch.no_grad():
        for name in unloaded:
            suspects[name].copy_(kept[name])
    return unloaded


def mark_tensors(tensors: dict[str, Tensor]) -> None:
    """Fill tensors, so that it shows which of them are not loaded.

    Args:
        tensors (dict[str, Tensor]): The tensors, changed in place.
    """
    with torch.no_grad():
        for tensor in tensors.values():
            if tensor.dtype == torch.bool:
                tensor.logical_not_()
            elif tensor.dtype in (torch.uint8, torch.int8):
                tensor.fill_(_MARK % 128)
            else:
                tensor.fill_(_MARK)


def _load(module: nn.Module, weights: dict) -> tuple[list, list, list]:
    """Load as torch does, without hooks that hide what did not fit."""
    mismatched = []
    with _without_post_hooks(module):
        try:
            missing, unexpected = module.load_state_dict(weights, strict=False)
        except RuntimeError as error:
            lines = [line.strip() for line in str(error).split('\n')[1:]]
            if not lines:
                raise
            mismatched = [line.split(' for ', 1)[-1] for line in lines]
            missing, unexpected = [], _find_unexpected(module, weights)
    return missing, unexpected, mismatched


def _find_unexpected(module: nn.Module, weights: dict) -> list[str]:
    """Name what a module has no tensor for, where its shapes differ."""
    names = {*module.state_dict(), *find_tensors(module)}
    return [name for name in weights if name not in names]


@contextmanager
def _without_post_hooks(module: nn.Module) -> Iterator[None]:
    """Switch off what edits the lists of names that did not fit."""
    kept: list[tuple[Optional[dict], list]] = []
    for child in module.modules():
        hooks = getattr(child, '_load_state_dict_post_hooks', None)
        if hooks:
            kept.append((hooks, list(hooks.items())))
            hooks.clear()
    try:
        yield
    finally:
        for hooks, items in kept:
            hooks.update(items)  # type: ignore[union-attr]
