"""Run a batch through an algorithm, and leave everything as it was."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Optional

import torch
from mmengine.runner import Runner
from mmrazor.models.algorithms import (
    AutoSlim,
    BigNAS,
    DataFreeDistillation,
    FpnTeacherDistill,
    SelfDistill,
    SingleTeacherDistill,
)
from torch import nn

from mmdskd.export.image_batch import read_samples
from mmdskd.models import FrozenTeacherDistill
from mmdskd.models.algorithms.student_forward import find_modes, record_student
from mmdskd.models.utils.teacher_preprocessor import prepare_for_teacher
from mmdskd.utils.random_state import keep_random_state

# Algorithms whose losses are computed in `loss`, and those that compute them
# step by step.
BY_LOSS = (SingleTeacherDistill, FpnTeacherDistill, SelfDistill)
BY_STEP = (AutoSlim, BigNAS)
SIZE = 2  # images: batch norm needs more than one


@contextmanager
def left_as_it_was(model: nn.Module) -> Iterator[None]:
    """Undo what forwards of a model do to it and to the random numbers.

    Buffers, such as the statistics of batch norms, and attributes of all
    modules are set back, those of a teacher outside of the module tree, too.

    Args:
        model (nn.Module): The algorithm.

    Yields:
        None: Nothing.
    """
    teacher = getattr(model, 'teacher', None)
    networks = [model, teacher] if isinstance(teacher, nn.Module) else [model]
    modules = list(
        dict.fromkeys(
            module for network in networks for module in network.modules()
        )
    )
    attributes = [dict(vars(module)) for module in modules]
    buffers = [dict(module._buffers) for module in modules]
    values = [
        (buffer, buffer.clone())
        for own in buffers
        for buffer in own.values()
        if buffer is not None
    ]
    with keep_random_state():
        try:
            yield
        finally:
            for module, before, own in zip(modules, attributes, buffers):
                vars(module).clear()
                vars(module).update(before)
                module._buffers.clear()
                module._buffers.update(own)
            with torch.no_grad():
                for buffer, value in values:
                    buffer.copy_(value)


def read_batch(runner: Runner, model: Any, size: int) -> Optional[dict]:
    """Read the first images of the training set, prepared for the model.

    The data loader, its sampler and its workers are not asked.

    Args:
        runner (Runner): The runner. Its data loader is built.
        model (nn.Module): The algorithm.
        size (int): Number of images.

    Returns:
        dict, optional: ``inputs`` and ``data_samples``, or None if the data
        set has no images by index.
    """
    loader: Any = runner.train_loop.dataloader
    dataset = loader.dataset
    if not (hasattr(dataset, '__getitem__') and hasattr(dataset, '__len__')):
        return None
    indices = [index % len(dataset) for index in range(size)]
    # It may count its batches, for the random numbers of the next one.
    preprocessor = copy.deepcopy(model.data_preprocessor)
    return preprocessor(
        loader.collate_fn(read_samples(dataset, indices)), True
    )


def can_record(model: nn.Module) -> bool:
    """Whether it is known how an algorithm runs student and teacher.

    Args:
        model (nn.Module): The algorithm.

    Returns:
        bool: Whether :func:`record` can do it.
    """
    kind: Any = type(model)
    if isinstance(model, DataFreeDistillation):
        return False  # its images are those of a generator
    if isinstance(model, BY_STEP):
        return True
    known = [base.loss for base in (FrozenTeacherDistill, *BY_LOSS)]
    return getattr(kind, 'loss', None) in known


def record(model: Any, batch: dict) -> None:
    """Let the recorders of a distiller record, as in training.

    Args:
        model (nn.Module): The algorithm, within :func:`left_as_it_was`.
        batch (dict): ``inputs`` and ``data_samples``.
    """
    data = (batch['inputs'], batch.get('data_samples'))
    distiller = model.distiller
    model.train()
    if isinstance(model, FrozenTeacherDistill):
        distiller.set_deliveries_override(False)
        images = prepare_for_teacher(model, data[0])
        _record_teacher(model.teacher_forward, (images, data[1]))
        record_student(model, *data)
    elif isinstance(model, BY_STEP):
        for recorders in (
            distiller.teacher_recorders,
            distiller.student_recorders,
        ):
            with recorders:
                model(*data, mode='loss')
    else:
        distiller.compute_distill_losses = dict  # no losses yet
        model.loss(*data)


def _record_teacher(teacher_forward: Any, data: tuple) -> None:
    """Run a frozen teacher, without deciding how."""
    before = teacher_forward.mode
    modes = find_modes(teacher_forward.has_task, data[1])
    if teacher_forward.is_prepared:
        modes = [before]
    try:
        for mode in modes:
            teacher_forward.mode = mode
            try:
                teacher_forward.run(*data)
                return
            except Exception as error:
                if mode == modes[-1]:
                    raise _not_running(data[0], error) from error
    finally:
        teacher_forward.mode = before


def _not_running(images: Any, error: Exception) -> ValueError:
    """Say which images a teacher does not take."""
    reason = str(error).rstrip('.')
    return ValueError(
        'model.teacher should run on images of shape '
        f'{tuple(images.shape[1:])}, but fails with {type(error).__name__}: '
        f'{reason}. If it was built for another size, set '
        'model.teacher_input_size to it'
    )
