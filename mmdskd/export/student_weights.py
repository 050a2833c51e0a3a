"""The plain student's weights, out of an algorithm's checkpoint."""

import os.path as osp
from collections import OrderedDict
from typing import Any, Optional

import numpy as np
import torch
from mmengine.config import Config

from mmdskd.utils.config import format_config
from mmdskd.utils.finite import log_nonfinite
from mmdskd.utils.model import STUDENT_PREFIX
from mmdskd.utils.state_dict import WRAPPER_PREFIX, rename_weights
from mmdskd.version import __version__

# Name of the file that goes with the students of a folder.
CONFIG_NAME = 'student_config.py'
PREPROCESSOR_PREFIX = 'data_preprocessor.'
# Random numbers of the training, see `AugmentSequence`
AUGMENTS_PREFIX = 'data_preprocessor.augments.'


def student_path(checkpoint_path: str) -> str:
    """Name the file of the student that belongs to a checkpoint.

    Args:
        checkpoint_path (str): Path of the algorithm's checkpoint, such as
            "work_dirs/run/epoch_10.pth".

    Returns:
        str: "work_dirs/run/epoch_10_student.pth" for it.
    """
    return f'{osp.splitext(checkpoint_path)[0]}_student.pth'


def extract_student(checkpoint: dict, cfg: Optional[Config] = None) -> dict:
    """Take the plain student out of an MMRazor algorithm's checkpoint.

    The student is what the checkpoint holds under ``architecture.``. A state
    of the data preprocessor is the algorithm's, since that is the one which
    prepares the student's images. Teacher, connectors and optimizer are left
    behind. Tensors are shared with ``checkpoint``, which is not changed. It
    logs an error if the student holds nan or inf.

    Args:
        checkpoint (dict): Checkpoint of an algorithm, as MMEngine saves it.
        cfg (Config, optional): The student's config, see
            :func:`make_student_config`. It takes the place of the
            distillation's in ``meta['cfg']``, from which MMEngine's
            inferencers build the model. Defaults to None.

    Returns:
        dict: ``meta``, of builtin types only, and ``state_dict``, so that
        ``torch.load`` reads it with ``weights_only=True`` as it is. (That of
        torch 1.13 reads no floats, and MMEngine puts none into ``meta``.)

    Raises:
        TypeError: If ``checkpoint`` is not a dict with a ``state_dict``.
        ValueError: If it has no student, as that of a plain network.
    """
    if not (
        isinstance(checkpoint, dict)
        and isinstance(checkpoint.get('state_dict'), dict)
    ):
        found = (
            sorted(map(str, checkpoint))
            if isinstance(checkpoint, dict)
            else type(checkpoint).__name__
        )
        raise TypeError(
            'checkpoint should be a dict with a "state_dict", as '
            f'MMEngine saves it, but got {found}.'
        )
    state_dict = checkpoint['state_dict']
    if all(name.startswith(WRAPPER_PREFIX) for name in state_dict):
        state_dict = rename_weights(
            state_dict, lambda name: name[len(WRAPPER_PREFIX) :]
        )
    if not any(name.startswith(STUDENT_PREFIX) for name in state_dict):
        found = sorted({name.partition('.')[0] for name in state_dict})
        raise ValueError(
            'checkpoint should hold a student under "architecture", as the '
            f'algorithms of MMRazor do, but holds {found}. If this is a '
            'plain network, it needs no conversion.'
        )

    student: Any = OrderedDict()
    for name, value in state_dict.items():
        plain = plain_name(name)
        if plain is not None:
            student[plain] = value
    # The versions of the modules, which torch attaches to a state_dict.
    student._metadata = OrderedDict(
        (plain[:-1], value)
        for name, value in getattr(state_dict, '_metadata', {}).items()
        if (plain := plain_name(f'{name}.')) is not None
    )

    log_nonfinite('The student', student.items())
    meta = _to_builtin(checkpoint.get('meta') or {})
    meta['mmdskd_version'] = __version__
    if cfg is not None:
        meta['cfg'] = format_config(cfg)
    return dict(meta=meta, state_dict=student)


def plain_name(name: str) -> Optional[str]:
    """Translate a name of the algorithm to the plain student's.

    Args:
        name (str): Name of a tensor in the algorithm's ``state_dict``.

    Returns:
        str, optional: Its name in the student's, or None if the student has
        no such tensor.
    """
    if name.startswith(AUGMENTS_PREFIX):
        return None
    if name.startswith(PREPROCESSOR_PREFIX):
        return name
    plain = name[len(STUDENT_PREFIX) :]
    if name.startswith(STUDENT_PREFIX) and not plain.startswith(
        PREPROCESSOR_PREFIX
    ):
        return plain
    return None


def _to_builtin(value: Any) -> Any:
    """Convert to builtin types; tensors stay, unknown objects become str."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, dict):
        return {_to_builtin(k): _to_builtin(v) for k, v in value.items()}
    if isinstance(value, tuple):
        return tuple(map(_to_builtin, value))
    if isinstance(value, (list, set, frozenset)):
        return list(map(_to_builtin, value))
    for builtin in (bool, int, float):
        if isinstance(value, builtin):
            return builtin(value)
    if value is None or isinstance(value, torch.Tensor):
        return value
    return str(value)
