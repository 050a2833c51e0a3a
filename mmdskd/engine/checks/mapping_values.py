"""Check by one batch what the mappings of a distiller give to its losses."""

import logging
from typing import Any

from mmengine.logging import print_log
from mmengine.runner import Runner
from mmrazor.models import losses as mmrazor_losses
from mmrazor.models.distillers import ConfigurableDistiller
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mmdskd.models import DSKDLoss, StandardizedKLDivergence
from mmdskd.models.algorithms.student_forward import has_labels, without_labels
from mmdskd.models.algorithms.teacher_records import find_nested_tensors
from mmdskd.models.losses.criterion import LABEL_ARGUMENTS
from mmdskd.utils.model import unwrap_model

from .dry_forward import SIZE, can_record, left_as_it_was, read_batch, record
from .gradient_reach import find_leaves, find_trained
from .mapping_check import has_teacher
from .recorded_values import (
    Recorded,
    check_kind,
    check_teacher_records,
    describe_record,
    is_labels,
    read_record,
)

# Losses that compare element by element, and would repeat the smaller tensor.
BY_ELEMENT = (
    mmrazor_losses.KLDivergence,
    mmrazor_losses.L1Loss,
    mmrazor_losses.L2Loss,
    mmrazor_losses.DISTLoss,
    mmrazor_losses.WSLD,
    mmrazor_losses.DKDLoss,
    StandardizedKLDivergence,
    nn.MSELoss,
    nn.L1Loss,
    nn.SmoothL1Loss,
    nn.HuberLoss,
    nn.KLDivLoss,
)


def check_mapping_values(runner: Runner) -> None:
    """Check the distillation by a batch of the training set, once.

    Student, teacher and losses run on two images, as in training; what this
    changes is set back, random numbers included, see
    :func:`~.dry_forward.left_as_it_was`. Algorithms whose steps are not known
    are left out.

    Args:
        runner (Runner): The runner of the training process, before the first
            iteration.

    Raises:
        ValueError: If an index of a mapping is out of range, labels are taken
            for logits or the other way round, both inputs of a loss are the
            student's, shapes don't fit, the teacher gives nan or inf, or a
            loss trains nothing.
    """
    model: Any = unwrap_model(runner.model)
    distiller = getattr(model, 'distiller', None)
    if not isinstance(distiller, ConfigurableDistiller) or not can_record(
        model
    ):
        return
    if runner.model is not model and not isinstance(
        runner.model, DistributedDataParallel
    ):
        return  # its parameters may be spread over the ranks
    size = getattr(runner.train_loop.dataloader, 'batch_size', None) or SIZE
    try:
        _check_batch(runner, model, distiller, SIZE)
    # Some networks and losses can't do with two images.
    except Exception as error:
        if size <= SIZE:
            raise
        try:
            _check_batch(runner, model, distiller, size)
        except Exception:
            raise error from None


def _check_batch(
    runner: Runner, model: Any, distiller: ConfigurableDistiller, size: int
) -> None:
    with left_as_it_was(model):
        batch = read_batch(runner, model, size)
        if batch is None:
            return
        for loss in distiller.distill_losses.values():
            if isinstance(loss, DSKDLoss):
                loss.set_progress(0)
        try:
            record(model, batch)
            if has_labels(batch.get('data_samples')):
                _check_losses(runner, model, distiller)
            else:
                with without_labels(distiller):
                    _check_losses(runner, model, distiller)
        finally:
            for manager in (
                distiller.student_recorders,
                distiller.teacher_recorders,
            ):
                for recorder in manager.recorders.values():
                    recorder.reset_data_buffer()
            for delivery in distiller.deliveries.deliveries.values():
                delivery.data_queue.clear()


def _check_losses(
    runner: Runner, model: Any, distiller: ConfigurableDistiller
) -> None:
    student = find_trained(model.architecture, runner)
    others = find_trained(distiller, runner)
    if getattr(model, 'teacher_trainable', False):
        others |= find_trained(model.teacher, runner)
    untaught: dict[str, list[str]] = dict()
    for name, mapping in distiller.loss_forward_mappings.items():
        path = f'model.distiller.loss_forward_mappings.{name}'
        recorded = {
            argument: read_record(f'{path}.{argument}', source, distiller)
            for argument, source in mapping.items()
        }
        for argument, found in recorded.items():
            check_kind(argument, found)
        check_teacher_records(list(recorded.values()))
        if has_teacher(model):
            _check_compared(path, recorded)
        loss = distiller.distill_losses[name]
        _check_shapes(path, loss, recorded)
        value = _compute(name, loss, recorded)
        if 'loss' not in name:
            continue  # a number for the log
        leaves = find_leaves(find_nested_tensors(value))
        if leaves is None:
            continue
        if not leaves & (student | others):
            raise ValueError(
                f'model.distiller.distill_losses.{name} should train the '
                'student or a connector, but no parameter that is trained '
                f'has a part in it: {_reasons(model)}'
            )
        for found in recorded.values():
            for source in _find_untaught(found, student):
                untaught.setdefault(source, []).append(name)
    for source, names in untaught.items():
        print_log(
            f'{", ".join(names)} on {source!r} teaches nothing to the student:'
            f' no layer up to {source!r} is trained ({_reasons(model)}). A '
            'head on it learns alone. Move it to a layer that is trained.',
            'current',
            logging.WARNING,
        )


def _reasons(model: Any) -> str:
    """Why parameters of a student may not be trained."""
    if not getattr(model, 'student_trainable', True):
        return 'student_trainable=False'
    return 'frozen_stages, requires_grad=False, or a lr_mult of 0'


def _find_untaught(found: Recorded, student: set[int]) -> list[str]:
    """Sources of the student from which no gradient reaches its layers."""
    if not found.record['from_student'] or is_labels(found):
        return []
    items = [(found.source, found.raw)]
    if isinstance(found.raw, (list, tuple)):
        sources = found.source.split(', ')
        if len(sources) == len(found.raw):
            items = list(zip(sources, found.raw))
    untaught = []
    for source, item in items:
        tensors = [
            t for t in find_nested_tensors(item) if t.is_floating_point()
        ]
        leaves = find_leaves(tensors)
        if tensors and leaves is not None and not leaves & student:
            untaught.append(source)
    return untaught


def _check_compared(path: str, recorded: dict[str, Recorded]) -> None:
    """Check that not all that a loss compares is the student's."""
    compared = [
        (argument, found)
        for argument, found in recorded.items()
        if argument not in LABEL_ARGUMENTS
        and isinstance(found.value, Tensor)
        and not is_labels(found)
    ]
    if len(compared) > 1 and all(
        found.record['from_student'] for _, found in compared
    ):
        raise ValueError(
            f'{path}.{compared[-1][0]}.from_student should be False, as all '
            'that the loss compares would be of the student otherwise, but '
            'got True'
        )


def _check_shapes(
    path: str, loss: nn.Module, recorded: dict[str, Recorded]
) -> None:
    """Check that a loss does not repeat the smaller of two tensors."""
    if not isinstance(loss, BY_ELEMENT):
        return
    shapes = {
        argument: tuple(found.value.shape)
        for argument, found in recorded.items()
        if isinstance(found.value, Tensor) and argument not in LABEL_ARGUMENTS
    }
    if len(set(shapes.values())) > 1:
        raise ValueError(
            f'{path} should give tensors of one shape to '
            f'{type(loss).__name__}, but gives '
            + ', '.join(
                f'{argument} {shape} from {recorded[argument].source!r}'
                for argument, shape in shapes.items()
            )
        )


def _compute(name: str, loss: nn.Module, recorded: dict[str, Recorded]) -> Any:
    """Compute a loss, and say of which inputs, if it fails."""
    inputs = {argument: found.value for argument, found in recorded.items()}
    try:
        return loss(**inputs)
    except Exception as error:
        given = ', '.join(
            f'{argument} {describe_record(found.value)} from {found.source!r}'
            for argument, found in recorded.items()
            if argument != 'branches'
        )
        is_several = any(
            isinstance(found.value, (list, tuple))
            for argument, found in recorded.items()
            if argument != 'branches'
        )
        raise ValueError(
            f'model.distiller.distill_losses.{name} ({type(loss).__name__}) '
            f'should fit its inputs, but fails with {type(error).__name__}: '
            f'{error}. It gets {given}; see loss_forward_mappings.{name}'
            + ', where data_idx picks one of several'
            * is_several
        ) from error
