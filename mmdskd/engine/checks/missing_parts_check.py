"""Check that nothing is missing that a distillation needs."""

import logging
from typing import Any

from mmengine.logging import print_log
from mmengine.runner import Runner

from mmdskd.engine.distillation_parts import find_dskd_losses
from mmdskd.models import DSKDLoss
from mmdskd.registry import HOOKS
from mmdskd.utils.model import unwrap_model
from mmdskd.utils.text import shorten


def check_hooks(runner: Runner) -> None:
    """Check that each DSKD loss has its hook, and each hook its loss.

    It warns of a loss whose weights stay uniform.

    Args:
        runner (Runner): The runner.

    Raises:
        KeyError: If a hook serves a loss that is not there.
        ValueError: If a loss has a schedule, and no hook that follows it.
    """
    model = unwrap_model(runner.model)
    kind: Any = HOOKS.get('mmdskd.LossWeightSchedulerHook')
    served: set[str] = set()
    for hook in runner.hooks:
        if isinstance(hook, kind):
            served |= set(find_dskd_losses(model, hook.loss))
    unserved = {
        path.rpartition('.')[2]: loss
        for path, loss in model.named_modules()
        if isinstance(loss, DSKDLoss) and path.rpartition('.')[2] not in served
    }
    for name, loss in unserved.items():
        if not loss.schedule.is_constant:
            raise ValueError(
                f'custom_hooks should have a LossWeightSchedulerHook for '
                f'{name}, which tells its schedule={loss.schedule.type!r} '
                'the progress of the training, but have none: add '
                f"dict(type='mmdskd.LossWeightSchedulerHook', loss={name!r})"
            )
    if unserved:
        print_log(
            f'{shorten(list(unserved))}: no LossWeightSchedulerHook in '
            'custom_hooks, so all branches keep the weight 1 and are not '
            "logged. Add dict(type='mmdskd.LossWeightSchedulerHook'), with "
            "strategy='uniform' if weights of 1 are meant.",
            'current',
            logging.WARNING,
        )
