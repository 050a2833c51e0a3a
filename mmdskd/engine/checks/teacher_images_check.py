"""Check that teachers get the images that they were made for."""

import logging
from typing import Any

from mmengine.logging import print_log
from mmengine.runner import Runner
from mmrazor.engine.runner import SingleTeacherDistillValLoop
from mmrazor.models.algorithms import SingleTeacherDistill
from torch import nn

from mmdskd.models import FrozenTeacherDistill
from mmdskd.models.utils.pretrained_images import find_pretrained_images
from mmdskd.utils.model import unwrap_model
from mmdskd.utils.preprocessing import SWAPS, find_differences


def check_teacher_images(
    key: str,
    part: dict,
    runner: Runner,
    teacher: nn.Module,
    brings_weights: bool,
) -> None:
    """Warn of a teacher that was made for other images.

    Args:
        key (str): Path of the teacher in the config.
        part (dict): Its config.
        runner (Runner): The runner.
        teacher (nn.Module): The teacher.
        brings_weights (bool): Whether it has the weights that it was
            pretrained with.
    """
    config = runner.cfg.get('model') or {}
    given = config.get('teacher_data_preprocessor')
    ours = (
        config.get('data_preprocessor')
        or runner.cfg.get('data_preprocessor')
        or {}
    )
    declared = part.get('data_preprocessor')
    own = find_pretrained_images(teacher)
    if declared:
        text = f'{key}.data_preprocessor is not used: '
        if given is None:
            text += 'student and teacher get the images of one '
            text += 'data_preprocessor, which differs in '
        else:
            ours = given
            text += 'model.teacher_data_preprocessor is, which differs in '
    elif (
        own is not None
        and own.mean is not None
        and brings_weights
        and given is None
    ):
        declared = dict(mean=own.mean, std=own.std)
        ours = {k: v for k, v in ours.items() if k not in SWAPS}
        text = (
            f'{key} was pretrained on other images, as {own.source} says: '
            'data_preprocessor differs in '
        )
    differences = find_differences(ours, declared) if declared else []
    if not differences:
        return
    text += ', '.join(
        f'{name} ({before}, of the teacher {after})'
        for name, before, after in differences
    )
    print_log(
        f'{text}. {_advise(unwrap_model(runner.model))}.',
        'current',
        logging.WARNING,
    )


def _advise(model: nn.Module) -> str:
    """Say what gives a teacher its own images."""
    if isinstance(model, FrozenTeacherDistill):
        return 'Set model.teacher_data_preprocessor to that of the teacher'
    if isinstance(model, SingleTeacherDistill):
        return (
            "Set model.type='mmdskd.FrozenTeacherDistill', and "
            'model.teacher_data_preprocessor to that of the teacher'
        )
    return 'Take a teacher that was trained with it, or train it so'


def check_val_loop(runner: Runner) -> None:
    """Check that no loop gives the teacher the images of the student.

    Args:
        runner (Runner): The runner.

    Raises:
        ValueError: If MMRazor's loop for the validation of both does.
    """
    model: Any = unwrap_model(runner.model)
    if getattr(model, 'teacher_preprocessor', None) is not None and isinstance(
        runner.val_loop, SingleTeacherDistillValLoop
    ):
        raise ValueError(
            'val_cfg.type should be ValLoop with teacher_data_preprocessor or '
            'teacher_input_size, but got SingleTeacherDistillValLoop, which '
            'gives the teacher the images of the student. '
            'mmdskd.TeacherEvaluationHook evaluates the teacher'
        )
