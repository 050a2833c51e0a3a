"""Find the parts of a distillation in a model."""

import re
from typing import Optional

from mmrazor.models.distillers import ConfigurableDistiller
from mmrazor.models.task_modules import RecorderManager
from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder
from torch import nn

from mmdskd.models import DSKDLoss
from mmdskd.models.losses.allocated_loss import AllocatedLoss


def find_dskd_losses(
    model: nn.Module, name: Optional[str] = None
) -> dict[str, DSKDLoss]:
    """Find the DSKD losses of a model by their names in ``distill_losses``.

    Args:
        model (nn.Module): The algorithm.
        name (str, optional): The one to return; None returns all.

    Returns:
        dict[str, DSKDLoss]: The losses by name.

    Raises:
        KeyError: If there is none, or none of that name.
    """
    found = [
        (path.rpartition('.')[2], module)
        for path, module in model.named_modules()
        if isinstance(module, DSKDLoss)
    ]
    losses = dict(found)
    prefixes = {log_prefix(loss) for loss in losses}
    if len(prefixes) < len(found):
        raise KeyError(
            'DSKD losses should have names that differ in more '
            'than the word "loss", but they are '
            f'{[loss for loss, _ in found]}'
        )
    if not losses:
        raise KeyError(
            f'{type(model).__name__} has no mmdskd.DSKDLoss in its '
            'distill_losses, so it has no branches'
        )
    if name is None:
        return losses
    if name not in losses:
        raise KeyError(
            f'loss={name!r} is not a DSKD loss of the model: '
            f'choose one of {", ".join(losses)}, or None for all'
        )
    return {name: losses[name]}


def find_allocated_losses(model: nn.Module) -> dict[str, AllocatedLoss]:
    """Find the losses of a model that have branches.

    Args:
        model (nn.Module): Any model.

    Returns:
        dict[str, AllocatedLoss]: The losses by their names in
        ``distill_losses``, or by their paths where two have the same name.
    """
    found = {
        path: module
        for path, module in model.named_modules()
        if isinstance(module, AllocatedLoss)
    }
    names = {path.rpartition('.')[2]: loss for path, loss in found.items()}
    return names if len(names) == len(found) else found


def find_recorders(model: nn.Module) -> list[BaseRecorder]:
    """Find all recorders of the distillers in a model.

    Args:
        model (nn.Module): The algorithm.

    Returns:
        list[BaseRecorder]: The recorders, MMRazor's and ours.
    """
    return [
        recorder
        for module in model.modules()
        for manager in vars(module).values()
        if isinstance(manager, RecorderManager)
        for recorder in manager.recorders.values()
    ]


def find_distillers(model: nn.Module) -> dict[str, ConfigurableDistiller]:
    """Find the distillers of a model.

    Args:
        model (nn.Module): The algorithm.

    Returns:
        dict[str, ConfigurableDistiller]: They, by their keys in a config,
        such as "model.distiller".
    """
    return {
        f'model.{name}': module
        for name, module in model.named_modules()
        if isinstance(module, ConfigurableDistiller)
    }


def log_prefix(name: str) -> str:
    """Get the name of a loss in the log.

    MMEngine's ``LogProcessor`` shows keys that contain "loss" as means over a
    window, which would blur the weights. So the name goes without ``loss`` at
    its start, at its end, and as a word in between. Of a name that still
    contains it, such as ``glossy``, the weights are shown as such means.

    Args:
        name (str): Its name in ``distill_losses``.

    Returns:
        str: The name without ``loss``, or "dskd" if nothing is left.
    """
    return re.sub('^loss_?|_?loss$|_loss(?=_)', '', name) or 'dskd'
