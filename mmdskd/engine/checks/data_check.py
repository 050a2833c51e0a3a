"""Check the data of a run before it trains."""

import copy
import logging
from typing import Any, Optional

import torch
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from mmrazor.models.algorithms import SingleTeacherDistill
from torch import Tensor

from mmdskd.export.image_batch import read_samples
from mmdskd.models import FrozenTeacherDistill
from mmdskd.models.algorithms.student_forward import NO_LABELS, has_labels
from mmdskd.utils.model import unwrap_model

from .dry_forward import SIZE, left_as_it_was, read_batch


def check_loaders(runner: Runner) -> None:
    """Check that there is something to train and validate on.

    Args:
        runner (Runner): The runner. Its data loaders are built.

    Raises:
        ValueError: If a data set is empty, or smaller than a batch, and what
            is left of it is dropped.
    """
    loops = {'train': runner.train_loop, 'val': runner.val_loop}
    for name, loop in loops.items():
        loader: Any = getattr(loop, 'dataloader', None)
        dataset: Any = getattr(loader, 'dataset', None)
        if not hasattr(dataset, '__len__'):
            continue
        if not len(dataset):
            raise ValueError(
                f'{name}_dataloader.dataset should hold images, but '
                f'{type(dataset).__name__} is empty'
            )
        if not len(loader):
            raise ValueError(
                f'{name}_dataloader.batch_size should be at most the number '
                f'of images, {len(dataset)}, as drop_last=True, but got '
                f'{loader.batch_size}: there would be no iteration'
            )


def check_preprocessor(runner: Runner) -> None:
    """Check the normalisation of the images.

    Args:
        runner (Runner): The runner.

    Raises:
        ValueError: If a deviation is not positive, or a value not finite.
    """
    preprocessor: Any = unwrap_model(runner.model).data_preprocessor
    key = _preprocessor_key(runner)
    for name, rule in (('mean', 'finite'), ('std', 'positive and finite')):
        values = getattr(preprocessor, name, None)
        if not isinstance(values, Tensor):
            continue
        is_right = torch.isfinite(values) & ((values > 0) | (name == 'mean'))
        if not is_right.all():
            raise ValueError(
                f'{key}.{name} should be {rule}, but got '
                f'{values.reshape(-1).tolist()}'
            )


def _preprocessor_key(runner: Runner) -> str:
    """Where the config has the data preprocessor that is used."""
    is_of_model = (runner.cfg.get('model') or {}).get('data_preprocessor')
    return 'model.data_preprocessor' if is_of_model else 'data_preprocessor'


def check_images(runner: Runner) -> None:
    """Check by the first images that training and validation fit.

    Args:
        runner (Runner): The runner. Its data loaders are built.

    Raises:
        ValueError: If the images have not the channels that are normalised,
            those of the validation have no labels, or the network does not
            run on their size.
    """
    model: Any = unwrap_model(runner.model)
    with left_as_it_was(model):
        train = read_batch(runner, model, SIZE)
        _check_labelled(train, model)
        _check_channels(runner, model)
        val = _read_val(runner, model)
        if train is None or val is None:
            return
        sizes = [_find_size(batch['inputs']) for batch in (train, val)]
        if None in sizes or sizes[0] == sizes[1]:
            return
        model.eval()
        try:
            with torch.no_grad():
                model(val['inputs'], val.get('data_samples'), mode='predict')
        except Exception as error:
            raise ValueError(
                'The images of train_dataloader and val_dataloader should '
                f'have one size, as {type(model).__name__} does not run on '
                f'another one ({type(error).__name__}: {error}), but those '
                f'of training are {sizes[0]} pixels and those of validation '
                f'{sizes[1]}. Compare the crops and resizes of their '
                'pipelines, and the augments of the data_preprocessor'
            ) from error
    print_log(
        f'The images of training are {sizes[0]} pixels, those of validation '
        f'{sizes[1]}. If this is not meant, compare the crops and resizes of '
        'their pipelines, and the augments of the data_preprocessor.',
        'current',
        logging.WARNING,
    )


def _check_labelled(batch: Optional[dict], model: Any) -> None:
    """Check that images have labels, if an algorithm can't do without."""
    samples = (batch or {}).get('data_samples')
    # Of samples of another kind it is not known.
    if not samples or not isinstance(samples[0], DataSample):
        return
    if has_labels(samples):
        return
    if isinstance(model, FrozenTeacherDistill):
        if model.calculate_student_loss:
            raise ValueError(NO_LABELS)
    elif isinstance(model, (ImageClassifier, SingleTeacherDistill)):
        raise ValueError(
            f'The images should have labels (gt_label) for '
            f'{type(model).__name__}, but have none. To learn from the '
            'teacher alone, take mmdskd.FrozenTeacherDistill with '
            'calculate_student_loss=False'
        )


def _read_val(runner: Runner, model: Any) -> Optional[dict]:
    """Read the first validation image, prepared for the model."""
    loader: Any = getattr(runner.val_loop, 'dataloader', None)
    dataset: Any = getattr(loader, 'dataset', None)
    if not hasattr(dataset, '__getitem__'):
        return None
    samples = read_samples(dataset, [0])
    preprocessor = copy.deepcopy(model.data_preprocessor)
    batch = preprocessor(loader.collate_fn(samples), False)
    metrics = getattr(runner.val_loop.evaluator, 'metrics', [])
    wanting = [
        type(metric).__name__
        for metric in metrics
        if type(metric).__module__.startswith('mmpretrain.')
    ]
    if wanting and not has_labels(batch.get('data_samples')):
        raise ValueError(
            'val_dataloader should give images with labels (gt_label), which '
            f'{wanting[0]} of val_evaluator needs, but the first has none. '
            'Give labels, or train without validation: val_cfg=None, '
            'val_dataloader=None, val_evaluator=None'
        )
    return batch


def _find_size(inputs: Any) -> Optional[str]:
    """Height and width of images."""
    if not isinstance(inputs, Tensor) or inputs.dim() != 4:
        return None
    return f'{inputs.shape[2]}x{inputs.shape[3]}'


def _check_channels(runner: Runner, model: Any) -> None:
    """Check that each channel of the images has its mean, or all have one."""
    mean = getattr(model.data_preprocessor, 'mean', None)
    dataset: Any = runner.train_loop.dataloader.dataset
    if not isinstance(mean, Tensor) or not hasattr(dataset, '__getitem__'):
        return
    sample = dataset[0]
    image = sample.get('inputs') if isinstance(sample, dict) else None
    if not isinstance(image, Tensor) or image.dim() != 3:
        return
    if mean.numel() not in (1, image.shape[0]):
        raise ValueError(
            f'{_preprocessor_key(runner)}: mean and std should have one value,'
            f' or one for each channel of the images, {image.shape[0]}, but '
            f'have {mean.numel()}'
        )
