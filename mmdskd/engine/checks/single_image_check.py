"""Check that no batch norm gets one value per channel."""

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Optional

import numpy as np
import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_world_size
from mmengine.runner import Runner
from mmrazor.models.distillers import ConfigurableDistiller
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from mmdskd.utils.model import unwrap_model


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
    name = _find_norm(unwrap_model(runner.model), loader)
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


def _find_norm(model: nn.Module, loader: DataLoader) -> Optional[str]:
    """Name the first batch norm that gets one value of an image.

    A copy of student and heads is run, so that the training is left as it is.
    """
    copied: Any = copy.deepcopy(model).train()
    found: list[str] = []

    def look(name: str, module: Any, args: tuple) -> None:
        values = args[0].numel() // args[0].size(1)
        synced = isinstance(module, nn.SyncBatchNorm) and get_world_size() > 1
        if module.training and values == 1 and not synced:
            found.append(name)
            raise _SingleValue

    for name, module in copied.named_modules():
        if isinstance(module, _BatchNorm):
            module.register_forward_pre_hook(
                lambda module, args, name=name: look(name, module, args)
            )
    # What else goes wrong with one image is shown by the training.
    with _same_random_numbers(), torch.no_grad(), suppress(Exception):
        _run(copied, _load_image(loader))
    return found[0] if found else None


def _load_image(loader: DataLoader) -> Any:
    """Make a batch of one image."""
    dataset: Any = loader.dataset
    images = (
        dataset.__getitems__([0])
        if hasattr(dataset, '__getitems__')
        else [dataset[0]]
    )
    return loader.collate_fn(images)


def _run(model: Any, batch: Any) -> None:
    """Run the student, and what reads its records."""
    data = model.data_preprocessor(batch, True)
    distiller = getattr(model, 'distiller', None)
    if not isinstance(distiller, ConfigurableDistiller):
        model(**data, mode='loss')
        return
    with distiller.student_recorders:
        model.student(**data, mode='loss')
    for mapping in (distiller.loss_forward_mappings or {}).values():
        for record in mapping.values():
            if record['from_student']:
                distiller.get_record(**record)


@contextmanager
def _same_random_numbers() -> Iterator[None]:
    """Leave the random numbers of the training as they are."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
