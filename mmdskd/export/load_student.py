"""Build the network that is deployed, with the weights of a checkpoint."""

import os.path as osp
from typing import Any, NamedTuple, Optional, cast

from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn

from mmdskd.models import MultiExitClassifier
from mmdskd.utils.checkpoint import load_checkpoint_file
from mmdskd.utils.config import check_has, find_class, without_weights
from mmdskd.utils.load_whole import load_whole
from mmdskd.utils.model import STUDENT_PREFIX
from mmdskd.utils.random_state import keep_random_state
from mmdskd.utils.state_dict import WRAPPER_PREFIX, rename_weights
from mmdskd.utils.text import shorten

from .exporters import first_line
from .multi_exit import extract_multi_exit, find_exits, make_multi_exit_config
from .plain_model import find_network, make_plain_model
from .student_check import check_against_run
from .student_config import make_student_config
from .student_weights import AUGMENTS_PREFIX, extract_student


class Student(NamedTuple):
    """A trained network, ready to be deployed.

    Attributes:
        network (nn.Module): The network, in eval mode, on the CPU. Its
            ``data_preprocessor`` is that of the run.
        cfg (Config): Its config, with the data of the run.
        meta (dict): What the checkpoint says of it.
        checkpoint (str): Path of the checkpoint.
    """

    network: nn.Module
    cfg: Config
    meta: dict
    checkpoint: str

    @property
    def num_exits(self) -> int:
        """Number of exits, without the student's own head."""
        if isinstance(self.network, MultiExitClassifier):
            return len(self.network.sources)
        return 0


def load_student(
    cfg: Config,
    checkpoint_path: str,
    exits: bool = False,
    loss: Optional[str] = None,
) -> Student:
    """Build the student of a run with the weights of a checkpoint.

    Args:
        cfg (Config): Config of a distillation, of its plain or multi-exit
            student, or of any training of a network. It is not changed.
        checkpoint_path (str): Checkpoint of the algorithm, of its student, or
            of the training.
        exits (bool): Whether the heads of a DSKD run become exits. Defaults
            to False.
        loss (str, optional): See
            :func:`~mmdskd.export.multi_exit.find_exits`. Defaults to None.

    Returns:
        Student: The student.

    Raises:
        CheckpointError: If the checkpoint can't be read.
        TypeError: If the checkpoint has no ``state_dict``.
        ValueError: If config and checkpoint do not fit, there are no heads,
            or the algorithm prunes or searches.
    """
    check_has(cfg, cfg.filename or 'The config', 'model')
    checkpoint = load_checkpoint_file(checkpoint_path)
    is_algorithm = isinstance(cfg.model.get('architecture'), dict)
    if any(key.startswith('mutator') for key in cfg.model):
        raise ValueError(
            f'{cfg.model["type"]} should not be exported: its checkpoint '
            'holds all widths, of a pruning or a search that is not '
            'finished. Take the config of the network that it has found, with '
            'sub_model and its fix_subnet, and the checkpoint of its training'
        )
    scope = cfg.get('default_scope') or 'mmengine'
    with DefaultScope.overwrite_default_scope(scope):
        if exits and is_algorithm:
            found = find_exits(cfg, loss)
            own = make_multi_exit_config(cfg, found)
        else:
            own = make_student_config(cfg) if is_algorithm else make_plain(cfg)
        if not _has_student(checkpoint):
            student = _strip_wrapper(checkpoint, checkpoint_path)
        elif exits and is_algorithm:
            student = extract_multi_exit(checkpoint, found, own)
        else:
            student = extract_student(checkpoint, own)
        if is_algorithm and _has_student(checkpoint):
            check_against_run(student, own, cfg)
        network = _build(own)
        _load(network, student['state_dict'], checkpoint_path)
    result = Student(
        network.eval(), own, checkpoint.get('meta') or {}, checkpoint_path
    )
    if exits and not result.num_exits:
        raise ValueError(
            'Exits should come from the config of a DSKD run, or from '
            f'multi_exit_config.py, but {cfg.filename} is of a '
            f'{type(network).__name__}'
        )
    return result


def make_student(cfg: Config) -> Student:
    """Build the student of a run with random weights, for measurements.

    Args:
        cfg (Config): See :func:`load_student`.

    Returns:
        Student: The student.

    Raises:
        ValueError: If the config has no model of a type that is known.
    """
    check_has(cfg, cfg.filename or 'The config', 'model')
    is_algorithm = isinstance(cfg.model.get('architecture'), dict)
    scope = cfg.get('default_scope') or 'mmengine'
    with DefaultScope.overwrite_default_scope(scope):
        own = make_student_config(cfg) if is_algorithm else make_plain(cfg)
        return Student(_build(own).eval(), own, {}, '')


def make_plain(cfg: Config) -> Config:
    """Let the config of a plain network name no weights.

    Args:
        cfg (Config): Config of a training. It is not changed.

    Returns:
        Config: The same, where the model has its ``data_preprocessor``.

    Raises:
        ValueError: If its model has no type.
    """
    run = cfg.to_dict()
    model = run['model']
    if not isinstance(model, dict) or not (
        model.get('type') or model.get('cfg_path')
    ):
        raise ValueError(
            'The model of the config should be a dict with a "type", but got '
            f'{model}'
        )
    scope = run.get('default_scope') or 'mmengine'
    run['model'] = make_plain_model(model, scope)
    if run.get('data_preprocessor') is not None:
        network = find_network(run['model'])
        network.setdefault('data_preprocessor', run['data_preprocessor'])
    return Config(run)


def _has_student(checkpoint: dict) -> bool:
    """Whether a checkpoint is that of an algorithm."""
    names = checkpoint.get('state_dict') or ()
    return any(
        name.startswith((STUDENT_PREFIX, WRAPPER_PREFIX + STUDENT_PREFIX))
        for name in names
    )


def _strip_wrapper(checkpoint: dict, path: str) -> dict:
    """Take the weights of a plain network, also of a distributed one."""
    weights = checkpoint.get('state_dict')
    if not isinstance(weights, dict) or not weights:
        raise TypeError(
            f'{path} should be a checkpoint with a "state_dict", as MMEngine '
            f'saves it, but holds {shorten(sorted(map(str, checkpoint)))}'
        )
    if all(name.startswith(WRAPPER_PREFIX) for name in weights):
        weights = rename_weights(
            cast(Any, weights), lambda name: name[len(WRAPPER_PREFIX) :]
        )
    return dict(state_dict=weights)


def _build(cfg: Config) -> nn.Module:
    """Build a network."""
    model = without_weights(cfg.to_dict()['model'])
    if find_class(MODELS, model, model.get('_scope_', 'mmengine')) is None:
        raise ValueError(
            f'The model of the config should be registered, but '
            f'{model["type"]!r} is not: name its package in custom_imports'
        )
    try:
        with keep_random_state():
            network = MODELS.build(model)
    # Whatever a class does not like, such as a name that timm does not know
    except Exception as error:
        raise ValueError(
            'The model of the config should be one that can be built here, '
            f'but {first_line(error)}'
        ) from error
    if not hasattr(network, 'data_preprocessor'):
        raise TypeError(
            'The model should be one of MMEngine, with a data_preprocessor, '
            f'but got {type(network).__name__}'
        )
    return network


def _load(network: nn.Module, weights: dict, path: str) -> None:
    """Load all weights of a network."""
    report = load_whole(network, drop_augments(weights))
    # Random numbers of a training, which deployment does without
    missing = list(drop_augments(dict.fromkeys(report.missing)))
    if not report._replace(missing=missing).is_whole:
        raise ValueError(
            f'{osp.basename(path)} should hold the weights of '
            f'{type(network).__name__} in the config, but it does not: '
            f'missing {shorten(missing)}; unexpected '
            f'{shorten(report.unexpected)}; of other shape '
            f'{shorten(report.mismatched)}'
        )


def drop_augments(weights: dict) -> dict:
    """Leave out the random numbers of the training.

    Args:
        weights (dict): Values by the names of a network's ``state_dict``.

    Returns:
        dict: Those that are used in a test.
    """
    return {
        name: value
        for name, value in weights.items()
        if not name.startswith(AUGMENTS_PREFIX)
    }


def find_classes(student: Student) -> Optional[list[str]]:
    """Find the names of the classes, as the checkpoint holds them.

    Args:
        student (Student): The student.

    Returns:
        list[str], optional: The names, or None if they are not known.
    """
    meta = student.meta.get('dataset_meta')
    classes = meta.get('classes') if isinstance(meta, dict) else None
    if not classes or isinstance(classes, (str, Tensor)):
        return None
    return [str(name) for name in classes]
