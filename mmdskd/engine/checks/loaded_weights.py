"""Say why a checkpoint does not fit a model."""

from collections.abc import Sequence
from typing import Optional

from torch import nn

from mmdskd.export.student_weights import AUGMENTS_PREFIX
from mmdskd.utils.load_whole import LoadReport
from mmdskd.utils.model import STUDENT_PREFIX
from mmdskd.utils.state_dict import NEEDLESS, find_tensors, has_names_of
from mmdskd.utils.text import shorten

TEACHER_PREFIX = 'teacher.'
DISTILLER_PREFIX = 'distiller.'
EXITS_PREFIX = 'exits.'
CONVERTER = 'tools/model_converters/convert_kd_ckpt_to_student.py'


class PartialCheckpointError(ValueError):
    """A checkpoint does not fit the model into which it is loaded."""


def has_student(weights: dict) -> bool:
    """Whether weights are those of an algorithm of MMRazor.

    Args:
        weights (dict): A state dict.

    Returns:
        bool: Whether they hold a student under "architecture.".
    """
    return any(name.startswith(STUDENT_PREFIX) for name in weights)


def describe_report(
    report: LoadReport, model: nn.Module, weights: dict
) -> str:
    """Write what did not fit.

    Args:
        report (LoadReport): What did not fit.
        model (nn.Module): The model.
        weights (dict): What was loaded.

    Returns:
        str: Counts and first names.
    """
    total = len(find_tensors(model))
    parts = []
    if report.missing:
        parts.append(
            f'leaves {len(report.missing)} of the {total} tensors of '
            f'{type(model).__name__} as they were initialised '
            f'({shorten(report.missing)})'
        )
    if report.unexpected:
        parts.append(
            f'brings {len(report.unexpected)} of its {len(weights)} tensors '
            f'for nothing ({shorten(report.unexpected)})'
        )
    if report.mismatched:
        parts.append(
            f'has another shape for {len(report.mismatched)} of the {total} '
            f'tensors of {type(model).__name__} '
            f'({shorten(report.mismatched, 1)})'
        )
    return '; it '.join(parts)


def find_cause(report: LoadReport, model: nn.Module, weights: dict) -> str:
    """Name the likely cause.

    Args:
        report (LoadReport): What did not fit.
        model (nn.Module): The model, plain or an algorithm.
        weights (dict): What was loaded.

    Returns:
        str: What the files are, and what to do.
    """
    algorithm = isinstance(getattr(model, 'architecture', None), nn.Module)
    if not algorithm and has_student(weights):
        return (
            "This is the student's config, and the file of the distillation: "
            f'take its "_student.pth", which {CONVERTER} writes, or the '
            'config of the distillation.'
        )
    if algorithm and not has_student(weights):
        if _is_of(getattr(model, 'teacher', None), weights):
            return "This is the teacher's file: name it by model.teacher_ckpt."
        if _begins(report.unexpected, EXITS_PREFIX):
            return (
                'This is the file of a multi-exit student: it belongs to '
                'multi_exit_config.py.'
            )
        return (
            'This is the config of the distillation, and the file of a plain '
            'network, but of another one than its student. To begin with a '
            'part of it, use model.architecture.init_cfg=dict('
            'type="Pretrained", checkpoint=...), or that of the backbone '
            'with prefix="backbone.".'
        )
    if _begins(report.missing, EXITS_PREFIX):
        return (
            'This is the config of a multi-exit student, and the file of '
            f'the plain one: write it by {CONVERTER} --exits.'
        )
    if _begins(report.unexpected, EXITS_PREFIX):
        return (
            'This is the file of a multi-exit student: it belongs to '
            'multi_exit_config.py.'
        )
    names = [*report.missing, *report.unexpected, *report.mismatched]
    if algorithm and all(name.startswith(DISTILLER_PREFIX) for name in names):
        return (
            'This is the file of another distillation, whose student fits, '
            'but whose heads, connectors or losses do not. To begin with its '
            f'student alone, name the "_student.pth" that {CONVERTER} writes.'
        )
    if all(name.startswith(TEACHER_PREFIX) for name in names):
        return 'It is the teacher that differs: see model.teacher_ckpt.'
    if report.mismatched and not (report.missing or report.unexpected):
        return (
            'This is the file of a network with another number of classes, '
            'input channels or width.'
        )
    return 'This is the file of another network, such as of another depth.'


def _begins(names: Sequence[str], prefix: str) -> bool:
    return any(name.startswith(prefix) for name in names)


def _is_of(network: Optional[nn.Module], weights: dict) -> bool:
    """Whether weights are those of a network, under any of its names."""
    if not isinstance(network, nn.Module):
        return False
    own = network.state_dict()
    return has_names_of(network, weights) or (
        own.keys() == weights.keys()
        and all(
            getattr(own[name], 'shape', None) == getattr(value, 'shape', None)
            for name, value in weights.items()
        )
    )


def drop_expected(
    report: LoadReport, model: nn.Module, needs_teacher: bool
) -> LoadReport:
    """Leave out of a report what need not be loaded.

    Args:
        report (LoadReport): What did not fit.
        model (nn.Module): The model.
        needs_teacher (bool): Whether a checkpoint without a teacher leaves
            it without weights.

    Returns:
        LoadReport: The rest.
    """

    def keep(names: Sequence[str]) -> list[str]:
        # A digest says of which teacher a checkpoint is, see
        # `FrozenTeacherDistill`, whose checkpoints leave out the teacher.
        return [
            name
            for name in names
            if not name.startswith(AUGMENTS_PREFIX)
            and name != 'teacher_digest'
        ]

    missing = keep(report.missing)
    teacher = getattr(model, 'teacher', None)
    if not needs_teacher and isinstance(teacher, nn.Module):
        # All of it or nothing
        tensors = {
            TEACHER_PREFIX + name
            for name in find_tensors(teacher)
            if not name.endswith(NEEDLESS)
        }
        if tensors <= set(missing):
            missing = [name for name in missing if name not in tensors]
    return LoadReport(missing, keep(report.unexpected), report.mismatched)
