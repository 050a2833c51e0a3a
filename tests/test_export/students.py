"""Checkpoints of students that tests export."""

import copy
from pathlib import Path
from typing import Optional, Union

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope


def save(
    cfg: Config, path: Union[str, Path], meta: Optional[dict] = None
) -> str:
    """Save a model of random weights, whose batch norms have seen something.

    Args:
        cfg (Config): The config of its run.
        path (str or Path): Path of the checkpoint.
        meta (dict, optional): Its meta.

    Returns:
        str: The path.
    """
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(copy.deepcopy(cfg.model.to_dict()))
    for name, value in model.state_dict().items():
        if 'running_' in name:
            value.uniform_(0.5, 1.5)
    torch.save(dict(meta=meta or {}, state_dict=model.state_dict()), path)
    return str(path)
