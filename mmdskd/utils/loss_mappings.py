"""Check what ``loss_forward_mappings`` of a distiller gives to its losses."""

import inspect
from collections.abc import Collection, Mapping
from typing import Any, Callable, NamedTuple

from .spelling import did_you_mean

# What a record may have, beside what a distiller of one's own takes.
INDICES = ('record_idx', 'data_idx', 'connector_idx')


class MappedParts(NamedTuple):
    """The parts of a distiller that its mappings name.

    Attributes:
        forwards (Mapping[str, Callable]): ``forward`` of each loss.
        student_recorders (Collection[str]): Names of the student's recorders.
        teacher_recorders (Collection[str]): Names of the teacher's.
        connectors (Collection[str]): Names of the connectors.
        get_record (Callable): What reads a record.
    """

    forwards: Mapping[str, Callable]
    student_recorders: Collection[str]
    teacher_recorders: Collection[str]
    connectors: Collection[str]
    get_record: Callable

    def recorders(self, from_student: bool) -> Collection[str]:
        """Names of the recorders of one of the networks."""
        if from_student:
            return self.student_recorders
        return self.teacher_recorders


def get_mapped_parts(distiller: Any) -> MappedParts:
    """Find the parts that the mappings of a distiller name.

    Args:
        distiller (ConfigurableDistiller): MMRazor's distiller.

    Returns:
        MappedParts: They.
    """
    return MappedParts(
        {n: loss.forward for n, loss in distiller.distill_losses.items()},
        distiller.student_recorders.recorders,
        distiller.teacher_recorders.recorders,
        distiller.connectors,
        distiller.get_record,
    )


def check_loss_mappings(mappings: Any, parts: MappedParts, path: str) -> None:
    """Check that each mapping names what is there.

    Args:
        mappings (dict): ``loss_forward_mappings`` of a distiller.
        parts (MappedParts): The parts of the distiller.
        path (str): The key of ``mappings`` in the config.

    Raises:
        TypeError: If a value is of another type than it should be.
        ValueError: If a name is unknown, or one that is needed is missing.
    """
    _check_dict(mappings, path, 'a dict of the inputs of each loss')
    for loss, mapping in mappings.items():
        _check_choice(loss, parts.forwards, path, 'name only', 'losses')
        loss_path = f'{path}.{loss}'
        _check_dict(mapping, loss_path, 'a dict of the inputs of the loss')
        _check_arguments(mapping, parts.forwards[loss], loss_path)
        for argument, record in mapping.items():
            check_record(record, parts, f'{loss_path}.{argument}')


def _check_arguments(mapping: dict, forward: Callable, path: str) -> None:
    """Check that a loss gets what its ``forward`` takes."""
    parameters = inspect.signature(forward).parameters.values()
    kind = type(getattr(forward, '__self__', None)).__name__
    names = [
        p.name
        for p in parameters
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        for argument in mapping:
            if argument not in names:
                raise ValueError(
                    f'{path} should give what {kind} takes '
                    f'({", ".join(names)}), but got {argument!r}'
                    f'{did_you_mean(argument, names)}'
                )
    needed = [p.name for p in parameters if p.default is p.empty]
    needed = [name for name in needed if name in names]
    missing = [name for name in needed if name not in mapping]
    if missing:
        raise ValueError(
            f'{path} should give what {kind} needs ({", ".join(needed)}), but '
            f'{", ".join(missing)} is missing'
        )


def check_record(record: Any, parts: MappedParts, path: str) -> None:
    """Check where an input of a loss comes from.

    Args:
        record (dict): Its value in the mapping.
        parts (MappedParts): The parts of the distiller.
        path (str): Its key in the config.

    Raises:
        TypeError: If a value is of another type than it should be.
        ValueError: If a name is unknown, or one that is needed is missing.
    """
    _check_dict(
        record,
        path,
        "a dict such as dict(from_student=True, recorder='logits')",
    )
    valid = list(inspect.signature(parts.get_record).parameters)
    for key in record:
        _check_choice(key, valid, path, 'have only', 'keys')
    for key in ('from_student', 'recorder'):
        if key not in record:
            choices = (
                'True for the student, False for the teacher'
                if key == 'from_student'
                else f'one of {_list(_all_recorders(parts))}'
            )
            raise ValueError(
                f'{path} should have the key {key!r} ({choices}), but has '
                f'only {_list(record)}'
            )
    from_student = record['from_student']
    if not isinstance(from_student, bool):
        raise TypeError(
            f'{path}.from_student should be True or False, but got '
            f'{from_student!r}'
        )
    side = 'student_recorders' if from_student else 'teacher_recorders'
    recorder = record['recorder']
    recorders = parts.recorders(from_student)
    if recorder not in list(recorders) and recorder in list(
        parts.recorders(not from_student)
    ):
        raise ValueError(
            f'{path}.recorder should be one of {side} ({_list(recorders)}), '
            f'as from_student={from_student}, but got {recorder!r}, which '
            f'needs from_student={not from_student}'
        )
    _check_choice(recorder, recorders, f'{path}.recorder', 'be one of', side)
    if record.get('connector') is not None:
        _check_choice(
            record['connector'],
            parts.connectors,
            f'{path}.connector',
            'be one of',
            'connectors',
        )
    for key in INDICES:
        value = record.get(key, 0)
        may_be_none = key != 'record_idx'
        if type(value) is not int and not (may_be_none and value is None):
            raise TypeError(
                f'{path}.{key} should be a whole number'
                f'{" or None" * may_be_none}, but got {value!r}'
            )


def _all_recorders(parts: MappedParts) -> list[str]:
    return [*parts.student_recorders, *parts.teacher_recorders]


def _check_dict(value: Any, path: str, what: str) -> None:
    if not isinstance(value, dict):
        raise TypeError(f'{path} should be {what}, but got {value!r}')


def _check_choice(
    name: Any, choices: Collection[str], path: str, rule: str, what: str
) -> None:
    """Raise unless a name is one of the choices."""
    if not isinstance(name, str) or name not in choices:
        raise ValueError(
            f'{path} should {rule} the {what} ({_list(choices)}), but got '
            f'{name!r}{did_you_mean(name, choices)}'
        )


def _list(names: Collection[str]) -> str:
    return ', '.join(map(str, names)) or 'there are none'
