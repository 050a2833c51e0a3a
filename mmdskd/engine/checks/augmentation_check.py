"""Check that training images are augmented as the config says."""

import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch import nn

from mmdskd.datasets import InMemoryDataset
from mmdskd.utils.config import type_name
from mmdskd.utils.model import unwrap_model


def check_augmentation(runner: Runner) -> None:
    """Check that the images are augmented as the config says.

    Images from memory, and batches by mixup and CutMix, are augmented by the
    data preprocessor, which a model may bring itself; then that of the data
    config is not used. It warns of what is not used.

    Args:
        runner (Runner): The runner. Its data loader is built.

    Raises:
        ValueError: If the images are too small for an augmentation, or
            MMRazor's ``sub_model`` has dropped the data preprocessor.
    """
    _check_sub_model(runner.cfg)
    model = unwrap_model(runner.model)
    _check_batch_augments(runner, model)
    dataset = runner.train_loop.dataloader.dataset
    if not isinstance(dataset, InMemoryDataset):
        return
    augments = getattr(model.data_preprocessor, 'augments', None)
    if augments is None:
        runner.logger.warning(
            'The images for training are not augmented: they come from '
            'mmdskd.InMemoryDataset, and the data_preprocessor, a '
            f'{type(model.data_preprocessor).__name__}, has no "augments". '
            'One in the model goes before that of the data config: write '
            'its type as mmdskd.AugmentingDataPreprocessor, with augments, '
            'or take the data config that ends in "_per_image".'
        )
        return
    dataset.full_init()
    image = dataset.images[:1]
    for augment in augments.augments:
        image = augment.augment(image, torch.Generator())


def _check_batch_augments(runner: Runner, model: nn.Module) -> None:
    """Warn of mixup or CutMix that only the student's preprocessor has."""
    network = getattr(model, 'architecture', None)
    ours = getattr(network, 'data_preprocessor', None)
    if (
        ours is model.data_preprocessor
        or getattr(ours, 'batch_augments', None) is None
    ):
        return
    runner.logger.warning(
        'The batches are not augmented as train_cfg.augments of the '
        f'architecture says: {type(model).__name__} prepares them by its own '
        'data_preprocessor. Write them there, as batch_augments=dict('
        'augments=...).'
    )


def _check_sub_model(cfg: Config) -> None:
    """Raise if a pruned network does without the data preprocessor."""
    model = cfg.get('model') or {}
    if (
        type_name(model) != 'sub_model'
        or model['cfg'].get('data_preprocessor') is not None
    ):
        return
    if cfg.get('data_preprocessor') or model.get('data_preprocessor'):
        raise ValueError(
            'MMRazor drops a data_preprocessor beside the cfg of a sub_model '
            'and at the top level. Give it to the network in the cfg: '
            'model.cfg.data_preprocessor = ...'
        )
