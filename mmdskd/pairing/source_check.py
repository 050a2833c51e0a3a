"""Refuse the configs of what is no image classifier."""

import difflib
from typing import Any

from mmengine.registry import MODELS
from mmpretrain.models import (
    ArcFaceClsHead,
    BaseRetriever,
    BaseSelfSupervisor,
    ImageClassifier,
    MultiTaskHead,
)
from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS

from mmdskd.registry import MODELS as MMDSKD_MODELS
from mmdskd.utils.config import find_class, type_name
from mmdskd.utils.text import shorten

# Packages of OpenMMLab that are for other tasks.
OTHER_TASKS = dict(
    mmdet='object detection',
    mmdet3d='3D detection',
    mmrotate='rotated object detection',
    mmyolo='object detection',
    mmseg='segmentation',
    mmpose='pose estimation',
    mmaction='video understanding',
    mmtrack='tracking',
    mmocr='text recognition',
    mmagic='image generation',
    mmedit='image editing',
    mmgen='image generation',
)
PARTS = ('backbone', 'neck', 'head')


def check_classifier(path: str, model: dict, scope: str) -> None:
    """Check that a config is of an image classifier, without building it.

    Args:
        path (str): The config, for messages.
        model (dict): ``model`` of the config, with a ``type``.
        scope (str): Scope in which it is built.

    Raises:
        ValueError: If it is of another task, or names what is not
            registered.
    """
    wanted = f'{path} should be the config of an image classifier'
    kind = type_name(model)
    package, dot, _ = model['type'].partition('.')
    package = package if dot else model.get('_scope_', scope)
    if package in OTHER_TASKS:
        raise ValueError(
            f'{wanted}, but {kind} of {package} is for {OTHER_TASKS[package]}'
        )
    found = _find('model', path, model, scope)
    for base, what in (
        (BaseSelfSupervisor, 'learns without labels'),
        (BaseRetriever, 'retrieves images'),
    ):
        if isinstance(found, type) and issubclass(found, base):
            raise ValueError(f'{wanted}, but {kind} {what}')
    # A function stands in for a class whose dependencies are missing.
    where = f'{found.__module__}.{found.__qualname__}'
    if 'multimodal' in where:
        raise ValueError(f'{wanted}, but {kind} takes images and text')
    for part in PARTS:
        nodes = model.get(part)
        for node in nodes if isinstance(nodes, (list, tuple)) else [nodes]:
            if isinstance(node, dict) and isinstance(node.get('type'), str):
                _find(f'model.{part}', path, node, model.get('_scope_', scope))
    if model.get('num_classes') == 0:
        raise ValueError(
            f'{wanted}, but model.num_classes is 0, which leaves out the '
            'classifier'
        )
    if found is ImageClassifier:
        _check_head(wanted, model, scope)


def _check_head(wanted: str, model: dict, scope: str) -> None:
    """Check that the head gives the logits that it is trained with."""
    head = model.get('head')
    if not head:
        raise ValueError(f'{wanted}, but its model has no head')
    found = find_class(MODELS, head, model.get('_scope_', scope))
    if not isinstance(found, type):
        return
    if issubclass(found, MultiTaskHead):
        tasks = shorten(list(head.get('task_heads') or {}))
        raise ValueError(
            f'{wanted} with one head, but {found.__name__} has several '
            f'({tasks}): logits are compared of one of them at a time'
        )
    if issubclass(found, ArcFaceClsHead):
        raise ValueError(
            f'{wanted} with plain logits, but those of {found.__name__} have '
            'a margin at the label in training, which the teacher has not'
        )


def _find(key: str, path: str, config: dict, scope: str) -> Any:
    """Look up what a config builds."""
    try:
        found = find_class(MODELS, config, scope)
    # Of a package that is named, but not installed.
    except (ImportError, KeyError):
        found = None
    if found is not None:
        return found
    names = [
        *MMPRETRAIN_MODELS.module_dict,
        *(f'mmdskd.{name}' for name in MMDSKD_MODELS.module_dict),
    ]
    near = difflib.get_close_matches(config['type'], names, n=3)
    hint = f'Did you mean {" or ".join(near)}? ' if near else ''
    raise ValueError(
        f'{key}.type of {path} should be registered, but {config["type"]!r} '
        f'is in no registry that the scope {scope!r} reaches. {hint}If it is '
        'a class of yours, name its module in custom_imports'
    )
