"""From a DSKD run to a student that keeps its heads as exits."""

import os.path as osp
from collections.abc import Sequence
from typing import NamedTuple, Optional, Union

from mmengine.config import Config
from mmengine.registry import MODELS
from mmpretrain.models import ImageClassifier, MultiLabelClsHead

from mmdskd.models import DSKDLoss
from mmdskd.models.architectures.classifiers.exits import check_thresholds
from mmdskd.utils.config import add_import, find_class, is_type
from mmdskd.utils.finite import log_nonfinite

from .student_config import make_student_config
from .student_weights import extract_student

# Name of the file that goes with the multi-exit students of a folder.
CONFIG_NAME = 'multi_exit_config.py'


class Exits(NamedTuple):
    """Where the heads of a run are.

    Attributes:
        connector (str): Name of their connector in the distiller.
        config (dict): What ``mmdskd.MultiExitClassifier`` takes as ``exits``.
    """

    connector: str
    config: dict


def multi_exit_path(checkpoint_path: str) -> str:
    """Name the file of the multi-exit student of a checkpoint.

    Args:
        checkpoint_path (str): Path of the algorithm's checkpoint, such as
            "work_dirs/run/epoch_10.pth".

    Returns:
        str: "work_dirs/run/epoch_10_multi_exit.pth" for it.
    """
    return f'{osp.splitext(checkpoint_path)[0]}_multi_exit.pth'


def find_exits(cfg: Config, loss: Optional[str] = None) -> Exits:
    """Find the heads of a DSKD loss in the config of its run.

    Args:
        cfg (Config): Config of the run, see also
            :func:`mmdskd.utils.resolve_auto`.
        loss (str, optional): Name of the loss in ``distill_losses``. None
            means the only one. Defaults to None.

    Returns:
        Exits: The heads.

    Raises:
        ValueError: If there is no such loss, there are several to choose
            from, or its heads have no classifiers.
    """
    algorithm = cfg.to_dict().get('model') or {}
    distiller = algorithm.get('distiller') or {}
    losses = [
        name
        for name, config in distiller.get('distill_losses', {}).items()
        if is_type(config, DSKDLoss)
    ]
    if not losses:
        raise ValueError(
            'The config should be that of a run with a '
            'mmdskd.DSKDLoss in model.distiller.distill_losses, '
            'whose heads become the exits, but has none'
        )
    if (len(losses) > 1 and loss is None) or loss not in (None, *losses):
        raise ValueError(
            'loss should be one of the DSKD losses of the config'
            f', {", ".join(losses)}, but got {loss}'
        )
    loss = loss or losses[0]
    branches = distiller['loss_forward_mappings'][loss]['branches']
    recorder = distiller['student_recorders'][branches['recorder']]
    connector = distiller['connectors'][branches['connector']]
    if connector.get('num_classes') is None:
        raise ValueError(
            f'The heads of {loss} should have classifiers to be exits, but '
            f'connector {branches["connector"]!r} has num_classes=None'
        )
    return Exits(
        branches['connector'],
        dict(sources=list(recorder['sources']), connector=connector),
    )


def make_multi_exit_config(
    cfg: Config, exits: Exits, threshold: Union[float, Sequence[float]] = 0.9
) -> Config:
    """Derive the config of a multi-exit student from that of its run.

    It is that of the plain student, see :func:`make_student_config`, with
    another model.

    Args:
        cfg (Config): Config of the run. It is not changed.
        exits (Exits): See :func:`find_exits`.
        threshold (float or Sequence[float]): See
            :class:`~mmdskd.models.MultiExitClassifier`. Defaults to 0.9.

    Returns:
        Config: The config. It refers to no other file.

    Raises:
        TypeError: If the model is not an algorithm whose student is an
            ``ImageClassifier`` of MMPretrain.
        ValueError: If a threshold is out of range, or the student gives
            several labels per image.
    """
    check_thresholds(threshold, len(exits.config['sources']))
    student = make_student_config(cfg).to_dict()
    model = student['model']
    kind = find_class(MODELS, model, model['_scope_'])
    if kind is not ImageClassifier:
        raise TypeError(
            'The student should be an ImageClassifier of MMPretrain to get '
            f'exits, but got {model["type"]}'
        )
    head = model.get('head')
    found = find_class(MODELS, head, model['_scope_']) if head else None
    if isinstance(found, type) and issubclass(found, MultiLabelClsHead):
        raise ValueError(
            'The student should give one label per image to get exits, as '
            'they compare softmax probabilities, but its head, '
            f'{found.__name__}, gives several'
        )
    model.update(
        type='mmdskd.MultiExitClassifier',
        exits=exits.config,
        threshold=threshold,
    )
    # The plain student may have done without it.
    student['custom_imports'] = add_import(student.get('custom_imports'))
    return Config(student)


def extract_multi_exit(
    checkpoint: dict, exits: Exits, cfg: Optional[Config] = None
) -> dict:
    """Take the student and its heads out of an algorithm's checkpoint.

    Args:
        checkpoint (dict): Checkpoint of an algorithm, as MMEngine saves it.
        exits (Exits): See :func:`find_exits`.
        cfg (Config, optional): The config for it, see
            :func:`make_multi_exit_config`. Defaults to None.

    Returns:
        dict: ``meta`` and ``state_dict``, see
        :func:`extract_student`.

    Raises:
        TypeError: If ``checkpoint`` is not a dict with a ``state_dict``.
        ValueError: If it has no student, or not as many heads as sources.
    """
    student = extract_student(checkpoint, cfg)
    prefix = f'distiller.connectors.{exits.connector}.'
    heads = {
        f'exits.{name[len(prefix) :]}': value
        for name, value in checkpoint['state_dict'].items()
        if name.startswith(prefix)
    }
    # exits.heads.0.classifier.weight
    number = len({name.split('.')[2] for name in heads})
    sources = exits.config['sources']
    if number != len(sources):
        raise ValueError(
            f'checkpoint should hold {len(sources)} heads under "{prefix}", '
            f'for {", ".join(sources)}, but holds {number}'
        )
    log_nonfinite('The exits', heads.items())
    student['state_dict'].update(heads)
    return student
