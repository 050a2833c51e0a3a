"""Check that no batch norm gets one value per channel."""

from contextlib import suppress
from typing import Any, Optional

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_world_size
from mmengine.runner import Runner
from mmrazor.models.distillers import ConfigurableDistiller
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from mmdskd.utils.model import unwrap_model

from .dry_forward import left_as_it_was, read_batch


class _SingleValue(Exception):
    """A batch norm in training gets one value per channel."""


def check_single_image(runner: Runner) -> None:
    """Check that no batch leaves a batch norm with one value per channel.

    torch raises then, at the end of the first epoch: the last batch has one
    image, and a map is 1x1. With batches of two images, the normalised
    values are -1 and 1 whatever comes in, so that what is before the batch
    norm learns next to nothing; it warns of that. Other batches cost nothing
    here.

    Args:
        runner (Runner): The runner. Its data loader is built.

    Raises:
        ValueError: If a batch norm would get one value per channel.
    """
    loader = runner.train_loop.dataloader
    size = getattr(loader.batch_sampler, 'batch_size', None)
    last = last_batch_size(loader)
    if last != 1 and size != 2:
        return
    name = _find_norm(runner)
    if name is None:
        return
    about = f'batch norm {name!r} gets'
    no_norm = (
        ". Or take heads without batch norm, head=dict(type='mmdskd."
        "LinearHead') of the mmdskd.DSKDConnector"
        if '.connectors.' in name
        else ''
    )
    if last != 1:
        runner.logger.warning(
            f'train_dataloader.batch_size is 2, and {about} two values per '
            'channel, as its map is 1x1: what is before it learns next to '
            f'nothing. Set a larger batch_size{no_norm}.'
        )
    elif size == 1:
        raise ValueError(
            f'train_dataloader.batch_size is 1, and {about} one value per '
            'channel, as its map is 1x1, which torch refuses: set a larger '
            f'batch_size{no_norm}.'
        )
    else:
        raise ValueError(
            'The last batch of an epoch has one image '
            f'({len(loader.batch_sampler.sampler)} images in batches of '
            f'{size}), of which {about} one value per channel, as its map is '
            '1x1, which torch refuses: set train_dataloader.drop_last=True, '
            f'or another batch_size{no_norm}.'
        )


def last_batch_size(loader: DataLoader) -> Optional[int]:
    """Find out how many images the smallest batch of an epoch has.

    Args:
        loader (DataLoader): The loader of the training data.

    Returns:
        int, optional: The number, as far as the loader tells.
    """
    batches: Any = loader.batch_sampler
    size = getattr(batches, 'batch_size', None)
    sampler = getattr(batches, 'sampler', None)
    if not isinstance(size, int) or size < 1:
        return None
    if getattr(batches, 'drop_last', False) or isinstance(
        sampler, InfiniteSampler
    ):
        return size
    try:
        return len(sampler) % size or size  # type: ignore[arg-type]
    except TypeError:
        return None


def _find_norm(runner: Runner) -> Optional[str]:
    """Name the first batch norm that gets one value of an image."""
    model: Any = unwrap_model(runner.model)
    batch = read_batch(runner, model, 1)
    if batch is None:
        return None
    found: list[str] = []

    def look(name: str, module: Any, args: tuple) -> None:
        values = args[0].numel() // args[0].size(1)
        synced = isinstance(module, nn.SyncBatchNorm) and get_world_size() > 1
        if module.training and values == 1 and not synced:
            found.append(name)
            raise _SingleValue

    handles = [
        module.register_forward_pre_hook(
            lambda module, args, name=name: look(name, module, args)
        )
        for name, module in model.named_modules()
        if isinstance(module, _BatchNorm)
    ]
    try:
        # What else goes wrong with one image is shown by the training.
        with left_as_it_was(model), torch.no_grad(), suppress(Exception):
            _run(model.train(), batch)
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None


def _run(model: Any, batch: dict) -> None:
    """Run the student, and what reads its records."""
    distiller = getattr(model, 'distiller', None)
    if not isinstance(distiller, ConfigurableDistiller):
        model(**batch, mode='loss')
        return
    with distiller.student_recorders:
        model.student(**batch, mode='loss')
    for mapping in (distiller.loss_forward_mappings or {}).values():
        for record in mapping.values():
            if record['from_student']:
                distiller.get_record(**record)
