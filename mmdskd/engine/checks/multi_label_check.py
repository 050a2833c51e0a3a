"""Check that losses of one label per image do not get several."""

import logging
from contextlib import suppress
from typing import Any, Optional

from mmengine.logging import print_log
from mmpretrain.models import ClsHead, MultiLabelClsHead
from mmrazor.models.distillers import ConfigurableDistiller
from torch import nn

from mmdskd.models import BinaryKLDivergence, DSKDLoss

# Of MMRazor and mmdskd: they compare classes by a softmax over them.
SOFTMAX_LOSSES = (
    'KLDivergence',
    'StandardizedKLDivergence',
    'DKDLoss',
    'DISTLoss',
    'WSLD',
    'KDSoftCELoss',
    'OnehotLikeLoss',
    'InformationEntropyLoss',
)
# Of MMPretrain, which have a form for several labels.
LABEL_LOSSES = ('CrossEntropyLoss', 'LabelSmoothLoss', 'SeesawLoss')
HEADS = (ClsHead, MultiLabelClsHead)
# Terms of DSKDLoss that get logits, and what they are compared with.
LOGIT_TERMS = dict(logit='preds_T', label='gt_labels')


def check_multi_label(model: nn.Module) -> None:
    """Check the losses of a distillation with several labels per image.

    A softmax over classes that do not exclude one another means nothing: the
    loss is 0 between logits that say "all there" and "nothing there".

    Args:
        model (nn.Module): The algorithm. Without a
            ``mmrazor.ConfigurableDistiller`` there is nothing to check.

    Raises:
        ValueError: If a loss by softmax gets the logits of a head of several
            labels, or a loss gets those of such a head and of one of one
            label.
    """
    distiller = getattr(model, 'distiller', None)
    if not isinstance(distiller, ConfigurableDistiller):
        return
    _warn_of_one_label(model, distiller)
    mappings = distiller.loss_forward_mappings or {}
    for name, loss in distiller.distill_losses.items():
        path = f'model.distiller.distill_losses.{name}'
        heads = {
            argument: head
            for argument, record in mappings.get(name, {}).items()
            for head in [_find_head(model, distiller, record)]
            if head is not None
        }
        if isinstance(loss, DSKDLoss):
            _check_branches(path, loss, model, heads)
        elif any(isinstance(h, MultiLabelClsHead) for h in heads.values()):
            _check_loss(path, loss, heads)
            _check_same(path, heads)


def _warn_of_one_label(
    model: nn.Module, distiller: ConfigurableDistiller
) -> None:
    """Warn of losses of each class by itself that get one label per image.

    That trains, and can be meant: each class against all others.
    """
    own = getattr(getattr(model, 'architecture', None), 'head', None)
    if not isinstance(own, ClsHead) or isinstance(own, MultiLabelClsHead):
        return
    found = [
        f'model.distiller.distill_losses.{name}'
        for name, loss in distiller.distill_losses.items()
        if any(
            isinstance(each, BinaryKLDivergence) and each.loss_weight
            for each in loss.modules()
        )
    ]
    if found:
        print_log(
            f'{", ".join(found)}: BinaryKLDivergence compares each class by '
            f'itself, for several labels per image, but {type(own).__name__} '
            'gives one: KLDivergence is the loss for that, unless it is '
            'meant.',
            'current',
            logging.WARNING,
        )


def _check_branches(
    path: str, loss: DSKDLoss, model: Any, heads: dict[str, nn.Module]
) -> None:
    """Check the terms of a DSKD loss."""
    own = getattr(getattr(model, 'architecture', None), 'head', None)
    for term, argument in LOGIT_TERMS.items():
        if term not in loss.criteria:
            continue
        head = heads.get(argument, own)
        if isinstance(head, MultiLabelClsHead):
            for criterion in loss.criteria[term]:
                _check_loss(f'{path}.{term}_loss', criterion, {argument: head})
        if argument in heads and isinstance(own, HEADS):
            _check_same(path, {argument: heads[argument], 'the student': own})


def _find_head(
    model: Any, distiller: ConfigurableDistiller, record: dict
) -> Optional[nn.Module]:
    """Find the head that a record is of, if it is of one."""
    side = 'student' if record.get('from_student') else 'teacher'
    network = getattr(
        model, 'architecture' if side == 'student' else 'teacher', None
    )
    recorders = getattr(distiller, f'{side}_recorders').recorders
    source = getattr(recorders.get(record.get('recorder')), 'source', None)
    while network is not None and isinstance(source, str) and source:
        with suppress(AttributeError):  # of a method, or another name
            module = network.get_submodule(source)
            if isinstance(module, HEADS):
                return module
        source = source.rpartition('.')[0]
    return None


def _check_loss(path: str, loss: Any, heads: dict[str, nn.Module]) -> None:
    """Raise if a loss is one of one label per image."""
    kind = type(loss).__name__
    kinds = {base.__name__ for base in type(loss).__mro__}
    multi_label = getattr(loss, 'use_sigmoid', False) or (
        getattr(loss, 'mode', None) == 'multi_label'
    )
    if not getattr(loss, 'loss_weight', 1) or not (
        kinds.intersection(SOFTMAX_LOSSES)
        or (kinds.intersection(LABEL_LOSSES) and not multi_label)
    ):
        return
    head = next(h for h in heads.values() if isinstance(h, MultiLabelClsHead))
    instead = (
        "dict(type='mmpretrain.CrossEntropyLoss', use_sigmoid=True)"
        if path.endswith('.label_loss')
        else "dict(type='mmdskd.BinaryKLDivergence', tau=1)"
    )
    raise ValueError(
        f'{path} should compare each class by itself, as '
        f'{type(head).__name__} gives several labels per image, but {kind} '
        f'compares them by a softmax: take {instead}'
    )


def _check_same(path: str, heads: dict[str, nn.Module]) -> None:
    """Raise if logits of one label are compared with those of several."""
    several = {
        argument: isinstance(head, MultiLabelClsHead)
        for argument, head in heads.items()
    }
    if len(set(several.values())) > 1:
        told = ', '.join(
            f'{argument} is of a {type(head).__name__} with '
            f'{"several labels" if several[argument] else "one label"}'
            for argument, head in heads.items()
        )
        raise ValueError(
            f'{path} should compare heads of one kind, but {told} per image: '
            'take a teacher that was made for the same data'
        )
