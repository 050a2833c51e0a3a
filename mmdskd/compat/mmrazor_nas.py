"""What the architecture search of MMRazor 1.0.0 needs on this stack.

A patch gets the module that has just been imported.
"""

from collections import OrderedDict
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


def make_inputs_for_mmpretrain(default_demo_inputs: ModuleType) -> None:
    """Let demo inputs know the scope ``mmpretrain``, as they know ``mmcls``.

    (No issue of it is known.)

    Args:
        default_demo_inputs (ModuleType): Module of ``DefaultDemoInput``.
    """
    known = default_demo_inputs.default_demo_input_class_for_scope
    known.setdefault('mmpretrain', known['mmcls'])


def convert_from(cls: Any, module: 'nn.Sequential') -> Any:
    """Convert a ``Sequential`` to a dynamic one.

    Args:
        module (nn.Sequential): What to convert. Its layers are shared.

    Returns:
        DynamicSequential: One of the same layers and names.
    """
    return cls(OrderedDict(module._modules))


def convert_plain_dicts(dynamic_container: ModuleType) -> None:
    """Let ``DynamicSequential`` convert the layers of recent torch.

    It takes ``_modules`` for the ``OrderedDict`` that it was before. (No
    issue of it is known.)

    Args:
        dynamic_container (ModuleType): Module of ``DynamicSequential``.
    """
    container_class = dynamic_container.DynamicSequential
    container_class.convert_from = classmethod(convert_from)


def handle_gradients(self: Any) -> None:
    """Scale the gradients of architecture parameters, and clear those of the
    weights of the candidates, where there are any."""
    for name, module in self.architecture.named_modules():
        weights = getattr(module, 'arch_weights', None)
        if weights is None or weights.grad is None:
            continue
        index = self.search_space_name_list.index(name)
        key = f'{module.mutable_prefix}_{index}'
        parameter = self.mutator.arch_params[key]
        if parameter.grad is not None:
            parameter.grad.mul_(weights.grad.sum())
        weights.grad.zero_()


def handle_missing_gradients(dsnas: ModuleType) -> None:
    """Let DSNAS train on torch >= 2.

    It scales the gradients of the architecture parameters after they have
    been cleared, which torch 2 does by removing them. (No issue of it is
    known.) Before, it scaled zeros: the result is the same.

    Args:
        dsnas (ModuleType): Module of ``DSNAS``.
    """
    dsnas.DSNAS.handle_grads = handle_gradients


def replace_smooth_l1_loss(mlp_handler: ModuleType) -> None:
    """Let the MLP predictor of accuracies do without MMDetection.

    It needs one loss of it, with the defaults of torch's own of that name.
    (No issue of it is known.)

    Args:
        mlp_handler (ModuleType): Module of ``MLPHandler``.
    """
    if mlp_handler.SmoothL1Loss.__name__ == 'PlaceHolder':
        vars(mlp_handler).update(SmoothL1Loss=mlp_handler.nn.SmoothL1Loss)
