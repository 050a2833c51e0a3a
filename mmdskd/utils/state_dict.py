"""Keep the state dicts of networks whole, whatever their classes do.

A class may rename its tensors in a state-dict hook, as MMPretrain's
``TimmClassifier`` does, or save a part of them, as ``LoRAModel`` does. torch
ignores the dict that such a hook returns where the network is a child of
another module, but calls the hook that undoes the renaming; and a hook that
drops tensors drops those of its parents, too.
"""

from collections import OrderedDict
from typing import Any, Callable

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

# What says how many batches a batch norm has seen is not needed.
NEEDLESS = 'num_batches_tracked'
EXTRA_STATE = '_extra_state'
# What names begin with that DataParallel and the like save
WRAPPER_PREFIX = 'module.'
# Metadata of a network whose class saves and loads tensors under other names
# than those in the checkpoint of its algorithm, or a part of them
OTHER_NAMES = 'other_names'


def find_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Find what a checkpoint of a module should hold.

    Args:
        module (nn.Module): The module.

    Returns:
        dict[str, Tensor]: Its parameters and persistent buffers, by their
        places in the tree of modules. Lazy ones are left out.
    """
    tensors = {}
    for path, child in module.named_modules(remove_duplicate=False):
        prefix = f'{path}.' if path else ''
        buffers = {
            name: buffer
            for name, buffer in child._buffers.items()
            if name not in child._non_persistent_buffers_set
        }
        for name, tensor in {**child._parameters, **buffers}.items():
            if tensor is not None and not is_lazy(tensor):
                tensors[prefix + name] = tensor
    return tensors


def has_names_of(module: nn.Module, names: Any, prefix: str = '') -> bool:
    """Whether names are those of the tensors in the tree of a module.

    Args:
        module (nn.Module): The module.
        names (Mapping[str, Any]): A state dict. What does not begin with
            ``prefix``, and extra states, are not looked at.
        prefix (str): What its names begin with. Defaults to ''.

    Returns:
        bool: Whether names and shapes are the same.
    """
    shapes = {
        prefix + name: tensor.shape
        for name, tensor in find_tensors(module).items()
        if not name.endswith(NEEDLESS)
    }
    return shapes == {
        name: value.shape
        for name, value in names.items()
        if name.startswith(prefix)
        and isinstance(value, Tensor)
        and not name.endswith((NEEDLESS, EXTRA_STATE))
    }


class _RootHook:
    """A hook that acts where its network, or a part of it, is the root.

    Args:
        hook (Callable): The hook.
    """

    def __init__(self, hook: Callable) -> None:
        self.hook = hook
        # Where its module is below the root at which it should not act
        self.paths: set[str] = set()
        # torch calls such a hook otherwise.
        self._from_public_api = getattr(hook, '_from_public_api', False)

    def is_below_root(self, prefix: str) -> bool:
        return any(f'.{prefix}'.endswith(f'.{path}.') for path in self.paths)


class _SaveHook(_RootHook):
    """A state-dict hook."""

    def __call__(self, module: nn.Module, *args: Any) -> Any:
        if self.is_below_root(args[1]):
            return None
        return self.hook(module, *args)


class _LoadHook(_RootHook):
    """A hook before loading; names of the tree need no translation."""

    def __init__(self, hook: Callable, module: nn.Module) -> None:
        super().__init__(hook)
        self.module = module

    def __call__(self, state_dict: dict, prefix: str, *args: Any) -> None:
        if not (
            self.is_below_root(prefix)
            and has_names_of(self.module, state_dict, prefix)
        ):
            self.hook(state_dict, prefix, *args)


def guard_hooks(root: nn.Module) -> None:
    """Let the tensors below a root keep their names in its state dict.

    State-dict hooks of its children then act only where the children are
    saved and loaded by themselves. It may be called again.

    Args:
        root (nn.Module): The root, such as an algorithm of MMRazor.
    """
    for path, module in root.named_modules(remove_duplicate=False):
        if not path:
            continue
        for hooks, guard in (
            (module._state_dict_hooks, _SaveHook),
            (
                module._load_state_dict_pre_hooks,
                lambda hook, module=module: _LoadHook(hook, module),
            ),
        ):
            for key, hook in hooks.items():
                if not isinstance(hook, _RootHook):
                    hooks[key] = hook = guard(hook)
                hook.paths.add(path)


def find_left_out(
    module: nn.Module, state_dict: dict, prefix: str = ''
) -> dict[str, Tensor]:
    """Find the tensors of a module that its state dict does not hold.

    Args:
        module (nn.Module): The module.
        state_dict (dict): Its state dict, which shares its memory.
        prefix (str): What the names begin with. Defaults to ''.

    Returns:
        dict[str, Tensor]: The tensors that are there under no name.
    """
    missing = {
        name: tensor
        for name, tensor in find_tensors(module).items()
        if prefix + name not in state_dict and tensor.numel()
    }
    if not missing:
        return {}
    held = {
        _place(value)
        for value in state_dict.values()
        if isinstance(value, Tensor)
    }
    return {
        name: tensor
        for name, tensor in missing.items()
        if _place(tensor) not in held
    }


def _place(tensor: Tensor) -> tuple:
    return tensor.data_ptr(), tensor.shape, tensor.dtype


def clone_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Copy the tensors of a module.

    Args:
        module (nn.Module): The module.

    Returns:
        dict[str, Tensor]: Copies of what :func:`find_tensors` finds.
    """
    return {
        name: tensor.detach().clone()
        for name, tensor in find_tensors(module).items()
    }


def copy_tensors(module: nn.Module, weights: dict[str, Tensor]) -> None:
    """Copy weights to the tensors of a module by their places in it.

    Args:
        module (nn.Module): The module.
        weights (dict[str, Tensor]): Weights, see :func:`find_tensors`. Other
            names, and those of other shape, are not looked at.
    """
    with torch.no_grad():
        for name, tensor in find_tensors(module).items():
            value = weights.get(name)
            if isinstance(value, Tensor) and value.shape == tensor.shape:
                tensor.copy_(value)


def rename_weights(weights: dict, rename: Callable[[str], str]) -> dict:
    """Rename all weights of a state dict.

    Args:
        weights (dict): The state dict. It is not changed.
        rename (Callable): Makes the new name from the old one.

    Returns:
        dict: The weights, with the versions of modules that torch keeps.
    """
    renamed: Any = OrderedDict(
        (rename(name), value) for name, value in weights.items()
    )
    if hasattr(weights, '_metadata'):
        renamed._metadata = OrderedDict(
            (rename(f'{name}.')[:-1], value)
            for name, value in weights._metadata.items()
        )
    return renamed
