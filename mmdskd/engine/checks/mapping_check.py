"""Check the graph of recorders, connectors, losses and their mappings."""

import logging
import re
from typing import Any, Optional

from mmengine.logging import print_log
from mmrazor.models.distillers import ConfigurableDistiller
from torch import nn

from mmdskd.engine.distillation_parts import find_distillers
from mmdskd.models import DSKDConnector
from mmdskd.models.losses.criterion import LABEL_ARGUMENTS
from mmdskd.utils.loss_mappings import check_loss_mappings, get_mapped_parts
from mmdskd.utils.text import shorten

# What losses call what the student and the teacher give, between "_".
STUDENT_WORDS = {'s', 'stu', 'student', 'students', 'branches'}
TEACHER_WORDS = {'t', 'tea', 'teacher', 'teachers'}


def check_mappings(model: nn.Module) -> None:
    """Check that each part of each distiller is used as its name says.

    What a look at the names can't show, the tensors show:
    :func:`~.mapping_values.check_mapping_values`.

    Args:
        model (nn.Module): The algorithm.

    Raises:
        TypeError: If a value of a mapping is of another type.
        ValueError: If a mapping names what is not there, a loss has none, or
            what should be the teacher's is the student's, or the other way
            round.
    """
    for path, distiller in find_distillers(model).items():
        mappings = f'{path}.loss_forward_mappings'
        parts = get_mapped_parts(distiller)
        check_loss_mappings(distiller.loss_forward_mappings, parts, mappings)
        _check_mapped(path, distiller)
        for loss, mapping in distiller.loss_forward_mappings.items():
            _check_sides(f'{mappings}.{loss}', loss, mapping, distiller, model)


def find_side(argument: str) -> Optional[str]:
    """Tell by its name whose output a loss expects.

    Args:
        argument (str): An argument of ``forward`` of the loss.

    Returns:
        str, optional: "student" or "teacher", or None if the name is of
        neither, as ``gt_labels``.

    Examples:
        >>> from mmdskd.engine.checks.mapping_check import find_side
        >>> [find_side(name) for name in ('preds_S', 't_feature', 'label')]
        ['student', 'teacher', None]
    """
    words = set(re.split('_+', argument.lower()))
    if words & STUDENT_WORDS:
        return 'student'
    return 'teacher' if words & TEACHER_WORDS else None


def has_teacher(model: nn.Module) -> bool:
    """Whether an algorithm has a teacher beside its student.

    Args:
        model (nn.Module): The algorithm.

    Returns:
        bool: Whether it has.
    """
    return any(
        isinstance(getattr(model, name, None), nn.Module)
        for name in ('teacher', 'teachers')
    )


def _check_mapped(path: str, distiller: ConfigurableDistiller) -> None:
    """Check that each loss has a mapping."""
    mappings = distiller.loss_forward_mappings
    for loss in distiller.distill_losses:
        if loss not in mappings:
            raise ValueError(
                f'{path}.distill_losses.{loss} should have its inputs in '
                f'{path}.loss_forward_mappings, but only '
                f'{shorten(list(mappings), 9)} has: it would never be '
                f'computed. Add loss_forward_mappings.{loss}, or remove the '
                'loss'
            )
        if 'loss' not in loss:
            print_log(
                f'{path}.distill_losses.{loss} trains nothing: only what has '
                f'"loss" in its name is added up. Call it loss_{loss}.',
                'current',
                logging.WARNING,
            )


def check_used(model: nn.Module) -> None:
    """Check that no connector is left over, and warn of such recorders.

    Args:
        model (nn.Module): The algorithm.

    Raises:
        ValueError: If no loss uses a connector.
    """
    for path, distiller in find_distillers(model).items():
        _check_used(path, distiller)


def _check_used(path: str, distiller: ConfigurableDistiller) -> None:
    records = [
        record
        for mapping in distiller.loss_forward_mappings.values()
        for record in mapping.values()
    ]
    used = {record.get('connector') for record in records}
    for connector in distiller.connectors:
        if connector not in used:
            raise ValueError(
                f'{path}.connectors.{connector} should be the connector of '
                'an input in loss_forward_mappings, but no loss uses it: it '
                f'would never learn. Write connector={connector!r} there, or '
                'remove it'
            )
    for side, from_student in (('student', True), ('teacher', False)):
        recorders = f'{side}_recorders'
        read = {
            record['recorder']
            for record in records
            if record['from_student'] is from_student
        }
        unread = [
            name
            for name in getattr(distiller, recorders).recorders
            if name not in read
        ]
        if unread:
            print_log(
                f'{path}.{recorders}: no loss reads {shorten(unread, 9)}. '
                'Name it in loss_forward_mappings, or remove it.',
                'current',
                logging.WARNING,
            )


def _check_sides(
    path: str,
    name: str,
    mapping: dict,
    distiller: ConfigurableDistiller,
    model: Any,
) -> None:
    """Check that student and teacher are where a loss expects them."""
    loss = distiller.distill_losses[name]
    kind = type(loss).__name__
    pretrains = not getattr(model, 'student_trainable', True)
    for argument, record in mapping.items():
        from_student = record['from_student']
        side = find_side(argument)
        if side == 'teacher' and from_student:
            raise ValueError(
                f'{path}.{argument}.from_student should be False, as '
                f'{argument} of {kind} is what the teacher gives, but got '
                'True: the student would teach itself'
            )
        # Connectors are pre-trained on the teacher alone (factor transfer).
        if side == 'student' and not from_student and not pretrains:
            raise ValueError(
                f'{path}.{argument}.from_student should be True, as '
                f'{argument} of {kind} is what the student gives, but got '
                'False: the student would learn nothing from it'
            )
        connector = record.get('connector')
        if (
            connector is not None
            and isinstance(distiller.connectors[connector], DSKDConnector)
            and (not from_student or argument in LABEL_ARGUMENTS)
        ):
            raise ValueError(
                f'{path}.{argument}.connector should not be {connector!r}: '
                'the heads of a DSKDConnector are on shallow layers of the '
                'student, and this input is '
                + ('labels' if from_student else "the teacher's")
            )
    inputs = [
        record['from_student']
        for argument, record in mapping.items()
        if argument not in LABEL_ARGUMENTS
    ]
    if (
        inputs
        and not any(inputs)
        and isinstance(getattr(model, 'teacher', None), nn.Module)
        and not getattr(model, 'teacher_trainable', False)
        and not pretrains
    ):
        raise ValueError(
            f'{path} should have an input with from_student=True, but all '
            'are of the teacher, which is frozen: nothing would learn from '
            f'{name}'
        )
