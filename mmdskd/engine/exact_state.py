"""What a checkpoint holds so that a resume is exact."""

from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import CheckpointHook, EarlyStoppingHook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner

from mmdskd.utils.model import unwrap_model


def describe_settings(runner: Runner) -> dict[str, Any]:
    """Describe the settings without which a resume is not exact.

    Args:
        runner (Runner): The runner of the training process.

    Returns:
        dict: Plain values by the name that a user knows.
    """
    loop = runner.train_loop
    dataloader = runner.train_dataloader
    epochs = type(loop).__name__ != 'IterBasedTrainLoop'
    settings = {
        'the train loop': type(loop).__name__,
        'train_cfg.max_epochs' if epochs else 'train_cfg.max_iters': (
            loop.max_epochs if epochs else loop.max_iters
        ),
        'the number of training samples': len(dataloader.dataset),
        'the number of processes': get_world_size(),
        'optim_wrapper.accumulative_counts': getattr(
            runner.optim_wrapper, '_accumulative_counts', 1
        ),
    }
    batch_sampler = getattr(dataloader, 'batch_sampler', None)
    batch_size = getattr(batch_sampler, 'batch_size', None)
    if batch_size is not None:
        settings['train_dataloader.batch_size'] = batch_size
    if hasattr(dataloader, 'num_workers'):
        # One or many load the same.
        settings['whether train_dataloader.num_workers is 0'] = (
            dataloader.num_workers == 0
        )
    return settings


def describe_changes(saved: dict, current: dict) -> list[str]:
    """Say which settings differ.

    Args:
        saved (dict): Those of the checkpoint.
        current (dict): Those of this run.

    Returns:
        list[str]: A clause for each.
    """
    return [
        f'{name} was {saved[name]}, is {value}'
        for name, value in current.items()
        if name in saved and saved[name] != value
    ]


def get_patience(runner: Runner) -> list[dict[str, float]]:
    """Get what each ``EarlyStoppingHook`` remembers.

    Args:
        runner (Runner): The runner of the training process.

    Returns:
        list[dict]: Plain numbers for each, in the order of the hooks.
    """
    return [
        dict(wait_count=hook.wait_count, best_score=float(hook.best_score))
        for hook in runner.hooks
        if isinstance(hook, EarlyStoppingHook)
    ]


def set_patience(
    runner: Runner, patience: list[dict[str, float]], is_validated: bool
) -> None:
    """Let each ``EarlyStoppingHook`` remember, as if not interrupted.

    Args:
        runner (Runner): The runner of the training process.
        patience (list[dict]): What :func:`get_patience` returned.
        is_validated (bool): Whether it is from within a validation. Hooks
            behind ``CheckpointHook`` had not seen its result yet.
    """
    rest, is_behind = iter(patience), False
    for hook in runner.hooks:
        is_behind |= isinstance(hook, CheckpointHook)
        if isinstance(hook, EarlyStoppingHook):
            hook.__dict__.update(next(rest, {}))
            history = runner.message_hub.log_scalars.get(f'val/{hook.monitor}')
            if patience and is_validated and is_behind and history is not None:
                hook.after_val_epoch(runner, {hook.monitor: history.current()})


def get_gradients(runner: Runner) -> dict[str, torch.Tensor]:
    """Get the gradients that wait for more, with ``accumulative_counts``.

    It is called on all processes: each has gradients of its own, and their
    mean is what counts in the end.

    Args:
        runner (Runner): The runner of the training process.

    Returns:
        dict[str, Tensor]: Gradients by the name of the parameter, on the CPU.
    """
    wrapper = runner.optim_wrapper
    if not isinstance(wrapper, OptimWrapper) or wrapper.should_update():
        return {}
    gradients = {}
    for name, parameter in unwrap_model(runner.model).named_parameters():
        if parameter.grad is not None:
            gradient = parameter.grad.detach().clone()
            all_reduce(gradient, 'mean')
            gradients[name] = gradient.cpu()
    return gradients


def set_gradients(runner: Runner, gradients: dict[str, torch.Tensor]) -> None:
    """Go on with gradients that wait for more.

    Args:
        runner (Runner): The runner of the training process.
        gradients (dict[str, Tensor]): What :func:`get_gradients` returned.
    """
    for name, parameter in unwrap_model(runner.model).named_parameters():
        if name in gradients:
            parameter.grad = gradients[name].to(parameter.device)
