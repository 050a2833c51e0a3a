"""Check the teachers of a run before they teach."""

import logging
from typing import Any

from mmengine.logging import print_log
from mmengine.runner import Runner
from mmrazor.models.algorithms import SingleTeacherDistill
from torch import nn

from mmdskd.models import FrozenTeacherDistill
from mmdskd.models.utils.teacher_weights import load_teacher
from mmdskd.utils.finite import nonfinite_tensors
from mmdskd.utils.model import unwrap_model
from mmdskd.utils.text import shorten

from .teacher_images_check import check_teacher_images, check_val_loop

# Keys of a config that bring weights, if their value is not empty.
WEIGHTS = (
    'teacher_ckpt',
    'ckpt_path',
    'checkpoint',
    'pretrained',
    'from_pretrained',
    'init_cfg',
)


def find_teachers(model: nn.Module) -> dict[str, nn.Module]:
    """Find the teachers of an algorithm.

    Args:
        model (nn.Module): The algorithm.

    Returns:
        dict[str, nn.Module]: Their keys in the config, and they.
    """
    teacher = getattr(model, 'teacher', None)
    if isinstance(teacher, nn.Module):
        return {'model.teacher': teacher}
    teachers = getattr(model, 'teachers', None)
    if not isinstance(teachers, nn.ModuleDict):
        return {}
    return {f'model.teachers.{name}': t for name, t in teachers.items()}


def load_whole_teacher(runner: Runner) -> None:
    """Load the teacher of MMRazor's algorithm again, all of it.

    MMRazor loads what fits and only warns of the rest, so that a teacher of
    another depth would teach noise.

    Args:
        runner (Runner): The runner, before a checkpoint of a run is loaded.

    Raises:
        ValueError: If a tensor is missing, unexpected or of another shape.
    """
    model = unwrap_model(runner.model)
    path = (runner.cfg.get('model') or {}).get('teacher_ckpt')
    # Ours loads it in this way by itself.
    if (
        path
        and isinstance(model, SingleTeacherDistill)
        and not isinstance(model, FrozenTeacherDistill)
    ):
        load_teacher(model.teacher, path)


def check_teachers(runner: Runner) -> None:
    """Check the weights of the teachers, and how their images come.

    It warns of a teacher of random weights, and of one that was trained on
    images which were prepared in another way.

    Args:
        runner (Runner): The runner, with all weights loaded.

    Raises:
        ValueError: If a tensor of a teacher has nan or inf, or the loop of
            the validation gives it the images of the student.
    """
    model: Any = unwrap_model(runner.model)
    config = runner.cfg.get('model') or {}
    teachers = find_teachers(model)
    check_val_loop(runner)
    for key, teacher in teachers.items():
        _check_finite(key, teacher)
        part = config
        for name in key.split('.')[1:]:
            part = part.get(name) or {}
        is_pretrained = not config.get('teacher_ckpt') and _brings_weights(
            part
        )
        check_teacher_images(key, part, runner, teacher, is_pretrained)
        is_trained = getattr(model, 'teacher_trainable', False)
        if part and not is_trained and not _has_weights(config, part, runner):
            print_log(
                f'{key} has random weights: what it teaches is noise. Set '
                'model.teacher_ckpt to the checkpoint of a trained teacher, '
                "or its init_cfg to dict(type='Pretrained', checkpoint=...).",
                'current',
                logging.WARNING,
            )


def _check_finite(key: str, teacher: nn.Module) -> None:
    wrong = nonfinite_tensors(
        [*teacher.named_parameters(), *teacher.named_buffers()]
    )
    if wrong:
        raise ValueError(
            f'All tensors of {key} should be finite, but {len(wrong)} have '
            f'nan or inf: {shorten(wrong)}. Its checkpoint is of a training '
            'that failed: take an earlier one'
        )


def _has_weights(config: dict, part: dict, runner: Runner) -> bool:
    """Whether a config says where the weights of a teacher come from."""
    if config.get('teacher_ckpt') or runner.cfg.get('load_from'):
        return True
    return runner.iter > 0 or _brings_weights(part)


def _brings_weights(config: Any) -> bool:
    """Whether a part of a config, or one within it, brings weights."""
    if isinstance(config, (list, tuple)):
        return any(map(_brings_weights, config))
    if not isinstance(config, dict):
        return False
    for key, value in config.items():
        if key == 'init_cfg':
            if 'Pretrained' in str(value):
                return True
        elif (key in WEIGHTS and value) or _brings_weights(value):
            return True
    return False
