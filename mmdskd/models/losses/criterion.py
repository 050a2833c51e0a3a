"""Losses of MMRazor and MMPretrain within DSKD: built, checked, called."""

import inspect
import math
from collections.abc import Iterable, Sequence
from typing import Any, Optional, Union

import torch
from mmrazor.models import losses as mmrazor_losses
from torch import Tensor, nn

from mmdskd.registry import MODELS
from mmdskd.utils.rules import POSITIVE, WEIGHT, Kind, one_or_list, optional
from mmdskd.utils.values import check_value

Criterion = Union[nn.Module, type[nn.Module]]
LossConfig = Union[dict, nn.Module, Sequence[Union[dict, nn.Module]]]

# What the losses of MMRazor and MMPretrain call the labels.
LABEL_ARGUMENTS = ('gt_labels', 'gt_label', 'labels', 'label')

#: What an argument of ``DSKDLoss`` that configures a loss should be.
LOSSES = optional(
    one_or_list(
        Kind(
            'the config of a loss, such as dict(type="L2Loss")',
            (dict, nn.Module),
        )
    )
)
# Numbers that mean the same in all losses.
NUMBERS: dict[str, Any] = dict(tau=POSITIVE, loss_weight=WEIGHT)

_SEE = 'docs/losses.md tells which losses of MMRazor fit where'


def build_criteria(
    name: str, cfg: LossConfig, num_branches: int
) -> nn.ModuleList:
    """Build one loss per branch and check that it can be called.

    Args:
        name (str): The argument of ``DSKDLoss``, for messages.
        cfg (dict, nn.Module or list): One config or module for all
            branches, or one per branch.
        num_branches (int): Number of branches L, >= 1.

    Returns:
        nn.ModuleList: The losses, L of them.

    Raises:
        TypeError: If a loss is neither a config nor a module.
        ValueError: If a list is not one per branch, a ``tau`` is not
            positive, a ``loss_weight`` is negative, or a loss needs more than
            student, teacher and labels.
    """
    cfgs: list = (
        list(cfg) if isinstance(cfg, (list, tuple)) else [cfg] * num_branches
    )
    if not all(isinstance(c, (dict, nn.Module)) for c in cfgs):
        raise TypeError(
            f'{name} should be the config of a loss, such as '
            'dict(type="KLDivergence"), or an nn.Module, or a list of '
            f'them with one per branch, but got {cfg!r}'
        )
    if len(cfgs) != num_branches:
        raise ValueError(
            f'{name} should be one config, or one per branch '
            f'({num_branches}), but got a list of {len(cfgs)}'
        )
    # MMRazor's names are found whatever scope the caller is in.
    criteria = nn.ModuleList(
        c
        if isinstance(c, nn.Module)
        else MODELS.build(dict(c, _scope_=c.get('_scope_', 'mmrazor')))
        for c in cfgs
    )
    for criterion in criteria:
        check_numbers(name, criterion)
        check_signature(name, criterion)
    return criteria


def call_criteria(
    name: str,
    criteria: Sequence[nn.Module],
    outputs: Sequence[Tensor],
    target: Tensor,
    label_arguments: Sequence[Optional[str]],
    gt_labels: Optional[Tensor] = None,
) -> Tensor:
    """Compute one term of all branches.

    What a loss raises passes unchanged: an error of the device can surface
    in any call. From Python 3.11 on, a note says where it was raised.

    Args:
        name (str): The argument of ``DSKDLoss``, for messages.
        criteria (Sequence[nn.Module]): The losses, L of them.
        outputs (Sequence[Tensor]): What the branches give, L tensors.
        target (Tensor): What each is compared with.
        label_arguments (Sequence[str, optional]): Names by which the losses
            take the labels, L of them.
        gt_labels (Tensor, optional): The labels. Defaults to None.

    Returns:
        Tensor: The losses, (L, ).

    Raises:
        ValueError: If a loss takes class indices and gets probabilities, or
            returns more than a scalar.
    """
    losses = []
    for index, (criterion, output, label_argument) in enumerate(
        zip(criteria, outputs, label_arguments)
    ):
        kind = type(criterion).__name__
        labels: dict[str, Tensor] = {}
        if label_argument and gt_labels is not None:
            if gt_labels.dim() != 1:
                raise ValueError(
                    f'{name}: {kind} takes class indices (N, ), but got '
                    f'labels {tuple(gt_labels.shape)}, as mixup and CutMix '
                    'make them; take a loss that needs no labels, or leave '
                    'out batch_augments'
                )
            labels[label_argument] = gt_labels
        try:
            loss = criterion(output, target, **labels)
        except Exception as error:
            if hasattr(error, 'add_note'):
                error.add_note(
                    f'Branch {index}: {name} called {kind} on tensors of '
                    f'shapes {tuple(output.shape)}, {tuple(target.shape)}; '
                    f'{_SEE}'
                )
            raise
        if loss.dim() != 0:
            raise ValueError(
                f'Branch {index}: {name} should return a scalar, but '
                f'{kind} returns a tensor of shape '
                f'{tuple(loss.shape)}: set its reduction'
            )
        losses.append(loss)
    return torch.stack(losses)


def unweighted(criteria: Sequence[nn.Module], losses: Tensor) -> Tensor:
    """Remove the ``loss_weight`` of each loss from its value.

    Args:
        criteria (Sequence[nn.Module]): The losses, L of them.
        losses (Tensor): Their values, (L, ).

    Returns:
        Tensor: The values before ``loss_weight``, float32, (L, ). That of a
        loss of weight 0 is not known and counts as 0.
    """
    losses = losses.float()
    factors = [
        float(getattr(criterion, 'loss_weight', 1)) for criterion in criteria
    ]
    if all(factor == 1 for factor in factors):
        return losses
    # Scalars of Python reach the device without waiting for it.
    return torch.stack(
        [
            loss * (1 / factor if factor else 0)
            for loss, factor in zip(losses, factors)
        ]
    )


def check_numbers(name: str, criterion: nn.Module) -> None:
    """Check the numbers of a loss whose meaning is known by their name.

    Args:
        name (str): What the loss is called, for the message.
        criterion (nn.Module): The loss.

    Raises:
        TypeError: If ``tau`` or ``loss_weight`` is a text, or the like.
        ValueError: If ``tau`` is not positive, ``loss_weight`` is negative,
            or a number of the loss is not finite.
    """
    kind = type(criterion).__name__
    for key, value in vars(criterion).items():
        is_plain = isinstance(value, (str, bool, int, float))
        if key in NUMBERS and is_plain:
            check_value(f'{name}: {key} of {kind}', value, NUMBERS[key])
        elif isinstance(value, float) and math.isnan(value):
            raise ValueError(
                f'{name}: {key} of {kind} should be a number, but got nan'
            )


def _parameters(criterion: Criterion) -> list[inspect.Parameter]:
    """Parameters of ``forward`` but for ``self``."""
    parameters = list(inspect.signature(criterion.forward).parameters.values())
    return parameters[1:] if isinstance(criterion, type) else parameters


def _extra_parameters(criterion: Criterion) -> list[inspect.Parameter]:
    """Named parameters of ``forward`` after student and teacher."""
    return [
        p
        for p in _parameters(criterion)[2:]
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]


def find_label_arguments(criteria: Iterable[nn.Module]) -> list[Optional[str]]:
    """Names by which ``forward`` of losses takes the labels, if it does."""
    names = [[p.name for p in _extra_parameters(c)] for c in criteria]
    return [
        next((n for n in LABEL_ARGUMENTS if n in taken), None)
        for taken in names
    ]


def _fits(criterion: Criterion) -> bool:
    """Whether ``forward`` can be called with what DSKDLoss has."""
    parameters = _parameters(criterion)
    variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    return (len(parameters) >= 2 or variadic) and all(
        p.default is not p.empty or p.name in LABEL_ARGUMENTS
        for p in _extra_parameters(criterion)
    )


def check_signature(name: str, criterion: nn.Module) -> None:
    """Raise if ``forward`` can't be called with what DSKDLoss has."""
    if _fits(criterion):
        return
    choices = [
        loss
        for loss in mmrazor_losses.__all__
        if _fits(getattr(mmrazor_losses, loss))
    ]
    raise ValueError(
        f'{name}: forward of {type(criterion).__name__} should take '
        '(student, teacher) and may take labels by one of the names '
        f'{LABEL_ARGUMENTS}, but it takes '
        f'({", ".join(p.name for p in _parameters(criterion))}). Of MMRazor, '
        f'these do: {", ".join(sorted(choices))}; {_SEE}'
    )
