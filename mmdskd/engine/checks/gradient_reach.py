"""Find the parameters that a tensor was computed from."""

from collections.abc import Iterable
from typing import Any, Optional

from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor, nn


def find_leaves(tensors: Iterable[Tensor]) -> Optional[set[int]]:
    """Walk the autograd graph of tensors down to its leaves.

    Nothing is computed.

    Args:
        tensors (Iterable[Tensor]): The tensors.

    Returns:
        set[int], optional: ``id`` of each leaf that gets a gradient, or None
        if the graph hides some, as activation checkpoints do.
    """
    leaves: set[int] = set()
    nodes: list[Any] = []
    for tensor in tensors:
        if tensor.grad_fn is not None:
            nodes.append(tensor.grad_fn)
        elif tensor.requires_grad:
            leaves.add(id(tensor))
    seen = set(nodes)
    while nodes:
        node = nodes.pop()
        if 'Checkpoint' in node.name():
            return None
        if hasattr(node, 'variable'):
            leaves.add(id(node.variable))
        for below, _ in node.next_functions:
            if below is not None and below not in seen:
                seen.add(below)
                nodes.append(below)
    return leaves


def find_trained(module: nn.Module, runner: Runner) -> set[int]:
    """Find the parameters of a module that the optimizer changes.

    Args:
        module (nn.Module): The module.
        runner (Runner): The runner. If its optimizer is built, parameters
            with a learning rate of 0, or of none, are not trained. Where that
            of all is 0, no layer is meant, so the learning rates don't count.

    Returns:
        set[int]: ``id`` of each.
    """
    trained = {id(p) for p in module.parameters() if p.requires_grad}
    optim_wrapper: Any = runner.optim_wrapper
    if isinstance(optim_wrapper, OptimWrapper):
        groups = optim_wrapper.param_groups
        learning = [g for g in groups if g.get('initial_lr', g['lr']) != 0]
        trained &= {
            id(parameter)
            for group in learning or groups
            for parameter in group['params']
        }
    return trained
