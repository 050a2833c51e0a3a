"""Where the weights of the teacher are."""

import os.path as osp
from typing import Optional

from .own_weights import brings_all_weights, find_checkpoint
from .source_config import SourceConfig


def choose_teacher_ckpt(
    teacher: SourceConfig, given: Optional[str] = None
) -> Optional[str]:
    """Choose the checkpoint of the teacher.

    It is, in this order, the one that is given, the published one, the one
    that a training by the teacher's config has left, the one that the config
    starts the whole network from, and the one that a training will leave.

    Args:
        teacher (SourceConfig): The teacher.
        given (str, optional): What the user chose. Defaults to None.

    Returns:
        str, optional: The checkpoint, or None for a teacher that loads all
        of its weights by itself, such as one of timm.
    """
    trained = trained_checkpoint(teacher)
    if given or teacher.checkpoint:
        return given or teacher.checkpoint
    model = teacher.cfg.model
    if brings_all_weights(model) and not osp.isfile(trained):
        return find_checkpoint(model)
    return trained


def trained_checkpoint(source: SourceConfig) -> str:
    """Name the last checkpoint of a training by our ``tools/train.py``.

    Args:
        source (SourceConfig): The config of the training.

    Returns:
        str: Its path, such as "work_dirs/NAME/epoch_200.pth".
    """
    folder = source.cfg.get('work_dir') or f'work_dirs/{source.name}'
    train_cfg = source.cfg.get('train_cfg') or {}
    if train_cfg.get('max_iters') is not None:
        return f'{folder}/iter_{train_cfg["max_iters"]}.pth'
    return f'{folder}/epoch_{train_cfg.get("max_epochs", "N")}.pth'
