"""Read what a mapping gives to a loss, and check what it is."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Optional

import torch
from mmrazor.models.distillers import ConfigurableDistiller
from torch import Tensor

from mmdskd.models.algorithms.teacher_records import find_nested_tensors
from mmdskd.models.losses.criterion import LABEL_ARGUMENTS


class Recorded(NamedTuple):
    """What a mapping gives to an argument of a loss.

    Attributes:
        path (str): Key of the mapping of the argument.
        record (dict): The mapping.
        source (str): What is recorded.
        raw (Any): What was recorded.
        value (Any): What the loss gets: it, or what a connector makes of it.
    """

    path: str
    record: dict
    source: str
    raw: Any
    value: Any


def read_record(
    path: str, record: dict, distiller: ConfigurableDistiller
) -> Recorded:
    """Read what a mapping gives.

    Args:
        path (str): Its key in the config.
        record (dict): The mapping of an argument.
        distiller (ConfigurableDistiller): MMRazor's distiller, after forwards
            of student and teacher.

    Returns:
        Recorded: What it gives.

    Raises:
        ValueError: If nothing was recorded, an index is out of range, or the
            connector fails.
    """
    side = 'student' if record['from_student'] else 'teacher'
    recorders = getattr(distiller, f'{side}_recorders')
    name = record['recorder']
    recorder = recorders.get_recorder(name)
    source = ', '.join(getattr(recorder, 'sources', [recorder.source]))
    buffer = recorder.data_buffer
    if not buffer:
        raise ValueError(
            f'{path}: recorder {name!r} should record {source!r} of the '
            f'{side}, but it does not run in a forward'
            + (
                ' without labels: a loss that needs them can not learn from '
                'such images'
                if source.endswith('loss_module')
                else ''
            )
        )
    found = _take(
        path, 'record_idx', record.get('record_idx', 0), buffer, source
    )
    found = _take(path, 'data_idx', record.get('data_idx'), found, source)
    value, connector = found, record.get('connector')
    if connector is not None:
        module = distiller.connectors[connector]
        try:
            value = module(found)
        except Exception as error:
            raise ValueError(
                f'{path}.connector: {connector!r} ({type(module).__name__}) '
                f'should fit what {source!r} gives, {describe_record(found)}, '
                f'but fails with {type(error).__name__}: {error}'
            ) from error
    if record.get('connector_idx') is not None:
        value = _take(
            path, 'connector_idx', record['connector_idx'], value, connector
        )
    return Recorded(path, record, source, found, value)


def _take(
    path: str, key: str, index: Optional[int], items: Any, source: Any
) -> Any:
    """Take one of several items, as an index of a mapping says."""
    if index is None:
        return items
    if not isinstance(items, (list, tuple)):
        raise ValueError(
            f'{path}.{key} should be left out, as {source!r} gives '
            f'{describe_record(items)} and not several values, but got {index}'
        )
    if not -len(items) <= index < len(items):
        times = (
            f'{source!r} runs {len(items)} time(s) in a forward'
            if key == 'record_idx'
            else f'{source!r} gives {describe_record(items)}'
        )
        raise ValueError(
            f'{path}.{key} should be in 0 to {len(items) - 1}, as {times}, '
            f'but got {index}'
        )
    return items[index]


def check_kind(argument: str, recorded: Recorded) -> None:
    """Check that labels are labels, and all else is not.

    Args:
        argument (str): Name of the argument of the loss.
        recorded (Recorded): What it gets.

    Raises:
        ValueError: If it is not so.
    """
    path, record, source, _, value = recorded
    expects_labels = argument in LABEL_ARGUMENTS
    if expects_labels:
        is_right = may_be_labels(value)
    else:  # a loss says by itself what it makes of several tensors
        is_right = not is_labels(recorded)
    if is_right:
        return
    index = record.get('data_idx')
    what = 'the labels' if expects_labels else 'logits or features'
    given = (
        f'{path}.data_idx should pick {what} of what {source!r} gets'
        if index is not None or isinstance(value, (list, tuple))
        else f'{path}.recorder should record {what}'
    )
    raise ValueError(
        f'{given}, but '
        + (f'data_idx={index} ' if index is not None else f'{source!r} ')
        + f'gives {describe_record(value)}'
        + _hint(recorded, value, expects_labels)
    )


def _hint(recorded: Recorded, value: Any, expects_labels: bool) -> str:
    """Name the index of a record that would fit."""
    if not isinstance(value, (list, tuple)):
        return ''
    fitting = [
        str(i)
        for i, item in enumerate(value)
        if isinstance(item, Tensor) and may_be_labels(item) is expects_labels
    ]
    return f'; set data_idx={" or ".join(fitting)}' if fitting else ''


def may_be_labels(value: Any) -> bool:
    """Tell what may be labels from what can't be.

    Args:
        value (Any): What was recorded.

    Returns:
        bool: Whether it is a tensor of whole numbers, or one of scores in
        [0, 1] which no network that learns has computed.
    """
    if not isinstance(value, Tensor):
        return False
    if not value.is_floating_point():
        return True
    return (
        not value.requires_grad
        and value.dim() <= 2
        and bool(((value >= 0) & (value <= 1)).all())
    )


def is_labels(recorded: Recorded) -> bool:
    """Tell what is labels from what may be logits or features.

    Args:
        recorded (Recorded): What a loss gets.

    Returns:
        bool: Whether it is a tensor of whole numbers, or of what
        ``loss_module`` gets the scores that sum to 1.
    """
    value = recorded.value
    if not isinstance(value, Tensor):
        return False
    if not value.is_floating_point():
        return True
    return (
        recorded.source.endswith('loss_module')
        and may_be_labels(value)
        and torch.allclose(value.sum(-1), value.new_ones(()))
    )


def check_teacher_records(recorded: Sequence[Recorded]) -> None:
    """Check what the teacher gives.

    Args:
        recorded (Sequence[Recorded]): What a loss gets.

    Raises:
        ValueError: If a tensor of the teacher has nan or inf.
    """
    for path, record, source, raw, _ in recorded:
        if record['from_student']:
            continue
        for tensor in find_nested_tensors(raw):
            if not torch.isfinite(tensor).all():
                raise ValueError(
                    f'{path}: what {source!r} of the teacher gives should be '
                    'finite, but has nan or inf for the first training '
                    'images. Check teacher_ckpt, and the data_preprocessor'
                )


def describe_record(value: Any) -> str:
    """Name what was recorded.

    Args:
        value (Any): A tensor, or several, or something else.

    Returns:
        str: Such as "float32 of (2, 10)".
    """
    if isinstance(value, Tensor):
        dtype = str(value.dtype).removeprefix('torch.')
        return f'{dtype} of {tuple(value.shape)}'
    if isinstance(value, (list, tuple)):
        items = ', '.join(map(describe_record, value[:4]))
        more = ', ...' if len(value) > 4 else ''
        return f'a {type(value).__name__} of {len(value)} ({items}{more})'
    return f'a {type(value).__name__}'
