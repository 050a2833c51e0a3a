"""The network of a run, and the weights from which it starts."""

import logging
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import set_random_seed

from mmdskd.utils.files import save_checkpoint_atomically


def build_network(cfg: Config) -> BaseModel:
    """Build the network of a plain config, without its weights."""
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    return MODELS.build(cfg.model)


def save_initial_weights(cfg: Config, seed: int, path: Path) -> None:
    """Save the weights from which all students of a seed start.

    Args:
        cfg (Config): Config of the plain student.
        seed (int): Random seed.
        path (Path): The file.
    """
    set_random_seed(seed)
    network = build_network(cfg)
    # It would log each initialised parameter.
    MMLogger.get_current_instance().setLevel(logging.WARNING)
    network.init_weights()
    save_checkpoint_atomically(
        dict(state_dict=network.state_dict()), str(path)
    )
