"""Let checkpoints of MMRazor's algorithms hold their networks whole.

A patch gets the module that has just been imported.
"""

from types import ModuleType
from typing import Any


def keep_state_dicts_whole(base: ModuleType) -> None:
    """Save and load all tensors of an algorithm, by their places in it.

    torch ignores what a state-dict hook of a child returns, but calls the
    hook that undoes it, and lets the hook of a child drop tensors of its
    parents. So a student or teacher such as MMPretrain's ``TimmClassifier``
    and ``HuggingFaceClassifier`` (mmpretrain#1102) or ``LoRAModel`` came out
    of a checkpoint with other weights. (No issue of it is known.) Networks
    without such hooks are saved and loaded as before.

    Args:
        base (ModuleType): ``mmrazor.models.algorithms.base``.
    """
    from torch import nn

    from mmdskd.utils.state_dict import (
        OTHER_NAMES,
        copy_tensors,
        find_left_out,
        guard_hooks,
        has_names_of,
    )

    def state_dict(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        guard_hooks(self)
        destination = nn.Module.state_dict(self, *args, **kwargs)
        # torch < 2 passes them by position in some releases.
        prefix = kwargs.get('prefix', args[1] if len(args) > 1 else '')
        keep_vars = kwargs.get('keep_vars', args[2] if len(args) > 2 else 0)
        for name, tensor in find_left_out(self, destination, prefix).items():
            destination[prefix + name] = (
                tensor if keep_vars else tensor.detach()
            )
        for name, child in self.named_children():
            if not has_names_of(child, child.state_dict()):
                destination._metadata[prefix + name][OTHER_NAMES] = True
        return destination

    def _load_from_state_dict(
        self: nn.Module, weights: dict, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        guard_hooks(self)
        # Their classes may not load what they do not save.
        left_out = find_left_out(self, nn.Module.state_dict(self))
        copy_tensors(
            self,
            {
                name: weights[prefix + name]
                for name in left_out
                if prefix + name in weights
            },
        )
        nn.Module._load_from_state_dict(self, weights, prefix, *args, **kwargs)

    base.BaseAlgorithm.state_dict = state_dict
    base.BaseAlgorithm._load_from_state_dict = _load_from_state_dict
