"""Weights of a teacher: load them strictly, and tell them apart."""

import copy
import hashlib
import logging
import os
import os.path as osp
from typing import NoReturn, Optional

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule
from mmengine.runner import CheckpointLoader
from mmrazor.registry import MODELS
from torch import Tensor, nn

from mmdskd.utils.load_whole import load_whole
from mmdskd.utils.model import STUDENT_PREFIX
from mmdskd.utils.own_weights import find_own_weights, is_pretrained
from mmdskd.utils.random_state import keep_random_state
from mmdskd.utils.state_dict import copy_tensors
from mmdskd.utils.text import shorten

from .num_classes import advise_other_classes, find_mismatched_classes


def check_frozen(teacher_trainable: bool, teacher_norm_eval: bool) -> None:
    """Check the arguments of MMRazor that would let a teacher learn.

    Args:
        teacher_trainable (bool): Must be False.
        teacher_norm_eval (bool): Must be True.

    Raises:
        ValueError: If one is not so.
    """
    for name, value, valid in (
        ('teacher_trainable', teacher_trainable, False),
        ('teacher_norm_eval', teacher_norm_eval, True),
    ):
        if value is not valid:
            raise ValueError(
                f'{name} of FrozenTeacherDistill should be {valid}, but '
                f'got {value}: to train the teacher too, take '
                'mmrazor.SingleTeacherDistill'
            )


def pop_teacher(state_dict: dict, prefix: str) -> dict[str, Tensor]:
    """Take the weights of a teacher out of those of an algorithm.

    Args:
        state_dict (dict): Weights of the algorithm, changed in place.
        prefix (str): What their names begin with.

    Returns:
        dict[str, Tensor]: The weights by their names in the teacher.
    """
    return {
        name[len(prefix) :]: state_dict.pop(name)
        for name in list(state_dict)
        if name.startswith(prefix)
    }


def init_teacher(
    teacher: BaseModule, teacher_ckpt: Optional[str], config: Optional[dict]
) -> None:
    """Load the weights of a teacher, or initialise it where it has none.

    Weights that the class of the teacher has loaded when it was built stay,
    and so do those of a built teacher.

    Args:
        teacher (BaseModule): The teacher.
        teacher_ckpt (str, optional): Its checkpoint. With None, a whole
            ``init_cfg`` of type ``Pretrained`` names it.
        config (dict, optional): Config of a teacher that was built from it.
            Its initialisation draws no random numbers that the student
            would draw.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the checkpoint does not fit.
    """
    init_cfg = teacher.init_cfg
    if (
        teacher_ckpt is None
        and isinstance(init_cfg, dict)
        and is_pretrained(init_cfg)
        and init_cfg.get('prefix') is None
    ):
        teacher_ckpt = init_cfg['checkpoint']
    if teacher_ckpt:
        load_teacher(teacher, teacher_ckpt)
    elif config is not None:
        own = find_own_weights(
            teacher, lambda: MODELS.build(copy.deepcopy(config))
        )
        with keep_random_state():
            teacher.init_weights()
        copy_tensors(teacher, own.tensors)
        if own.random:
            text = (
                'The teacher brings no weights for '
                f'{shorten(own.random)}: without model.teacher_ckpt, they '
                'are random.'
            )
            if own.tensors:  # of the rest, as for other classes
                text += (
                    ' If they are of its last layer, its logits are noise. '
                    f'{advise_other_classes()}.'
                )
            print_log(
                text,
                logger='current',
                level=logging.WARNING if own.tensors else logging.INFO,
            )


def load_teacher(teacher: nn.Module, path: str) -> None:
    """Load the weights of a teacher, all of them.

    MMRazor loads what fits and only warns of the rest, so that a teacher of
    another depth or class count would teach noise.

    The checkpoint is one of the network itself, or one of a distillation by
    MMRazor or by us, whose student (``architecture.``) is taken: a distilled
    student can be the next teacher. Prefixes of ``DataParallel`` and the
    weights of data preprocessors are left out.

    Args:
        teacher (nn.Module): The teacher.
        path (str): The checkpoint, a file or a URL.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a tensor is missing, unexpected or of another shape.
    """
    if '://' not in path and not osp.isfile(path):
        raise FileNotFoundError(
            f'model.teacher_ckpt should be a file or a URL, but there is no '
            f'{path!r} (looked from {os.getcwd()}). Train the teacher first, '
            'as by a config in configs/vanilla, or convert a published one '
            'by tools/model_converters/convert_kd_zoo_ckpt.py.'
        )
    checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    load_teacher_weights(
        teacher,
        _network_weights(checkpoint.get('state_dict', checkpoint)),
        path,
    )


def load_teacher_weights(
    teacher: nn.Module, weights: dict[str, Tensor], path: str
) -> None:
    """Load weights into a teacher, all of them.

    Args:
        teacher (nn.Module): The teacher.
        weights (dict[str, Tensor]): The weights by their names in it.
        path (str): Where they are from, for the message.

    Raises:
        ValueError: If a tensor is missing, unexpected or of another shape.
    """
    report = load_whole(teacher, weights)
    missing = [name for name in report.missing if not _is_preprocessing(name)]
    found = shorten(
        [f'size mismatch for {line}' for line in report.mismatched]
    )
    if not report.mismatched:
        found = '; '.join(
            f'{kind}: {shorten(names)}'
            for kind, names in (
                ('missing', missing),
                ('unexpected', report.unexpected),
            )
            if names
        )
    if found:
        classes = find_mismatched_classes(report.mismatched)
        if classes is not None:
            raise ValueError(
                'teacher_ckpt should hold the weights of the teacher, but '
                f'{path!r} is of {classes[0]} classes, and model.teacher of '
                f'{classes[1]}: {found}. {advise_other_classes(classes[1])}'
            )
        raise ValueError(
            f'teacher_ckpt should hold the weights of the teacher, but '
            f'{path!r} does not. {found}. '
            'tools/model_converters/convert_kd_zoo_ckpt.py converts teachers '
            'of RepDistiller, SemCKD, SimKD and mdistiller.'
        )


def _network_weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take the weights of the network out of those of a training."""
    weights = {_strip(name, 'module.'): w for name, w in weights.items()}
    if any(name.startswith(STUDENT_PREFIX) for name in weights):
        weights = {
            _strip(name, STUDENT_PREFIX): w
            for name, w in weights.items()
            if name.startswith(STUDENT_PREFIX)
        }
    return {
        name: w for name, w in weights.items() if not _is_preprocessing(name)
    }


def _is_preprocessing(name: str) -> bool:
    """Whether a name is of the data preprocessor, which no teacher uses."""
    return name.startswith('data_preprocessor.')


def _strip(name: str, prefix: str) -> str:
    return name[len(prefix) :] if name.startswith(prefix) else name


def digest(module: nn.Module) -> Tensor:
    """Compute a digest of all parameters and buffers of a network.

    Args:
        module (nn.Module): The network. Its data preprocessor is left out.

    Returns:
        Tensor: SHA-256 over names, types, shapes and values in the order of
        the state dict, (32, ) of uint8, on the CPU.
    """
    sha256 = hashlib.sha256()
    for name, value in module.state_dict().items():
        if _is_preprocessing(name):
            continue
        value = value.detach().cpu().contiguous()
        sha256.update(f'{name} {value.dtype} {tuple(value.shape)}'.encode())
        # bfloat16 is unknown to NumPy, and a scalar has no bytes to view.
        sha256.update(value.reshape(-1).view(torch.uint8).numpy())
    return torch.tensor(list(sha256.digest()), dtype=torch.uint8)


def refuse_other_teacher(
    ours: Tensor, theirs: Tensor, teacher_ckpt: Optional[str]
) -> NoReturn:
    """Refuse to resume a run with another teacher.

    Args:
        ours (Tensor): Digest of the teacher, (32, ) of uint8.
        theirs (Tensor): Digest in the checkpoint of the run, likewise.
        teacher_ckpt (str, optional): Checkpoint of the teacher.

    Raises:
        ValueError: Always.
    """
    names = [bytes(value.tolist()).hex()[:12] for value in (ours, theirs)]
    raise ValueError(
        'A run should go on with the teacher that it began with, but its '
        f'checkpoint is of the teacher with digest {names[1]}..., and '
        f'teacher_ckpt={teacher_ckpt!r} has {names[0]}.... Put the file '
        'back. To go on from the student with another teacher, start a '
        'new run, not with load_from, but with architecture.init_cfg='
        'dict(type="Pretrained", checkpoint="..._student.pth").'
    )
