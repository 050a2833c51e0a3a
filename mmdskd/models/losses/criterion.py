import inspect
from collections.abc import Sequence
from typing import Optional, Union

from mmrazor.models import losses as mmrazor_losses
from torch import nn

Criterion = Union[nn.Module, type[nn.Module]]


LossConfig = Union[dict, nn.Module, Sequence[Union[dict, nn.Module]]]


# What the losses of MMRazor and MMPretrain call the labels.
LABEL_ARGUMENTS = ('gt_labels', 'gt_label', 'labels', 'label')


# What a loss raises on tensors that it is not made for.
_UNFIT = (AssertionError, IndexError, RuntimeError, TypeError, ValueError)


_SEE = 'docs/losses.md tells which losses of MMRazor fit where'


def check_tau(name: str, criterion: nn.Module) -> None:
    """Check the temperature of a loss.

    Raises:
        ValueError: If the loss ``name`` has a ``tau`` that is not positive.
    """
    tau = getattr(criterion, 'tau', None)
    if isinstance(tau, (int, float)) and tau <= 0:
        raise ValueError(
            f'{name}: tau of {type(criterion).__name__} should '
            f'be > 0, but got {tau}'
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


def _label_argument(criterion: nn.Module) -> Optional[str]:
    """Name by which ``forward`` takes the labels, if it does."""
    names = [p.name for p in _extra_parameters(criterion)]
    return next((n for n in LABEL_ARGUMENTS if n in names), None)


def _fits(criterion: Criterion) -> bool:
    """Whether ``forward`` can be called with what DSKDLoss has."""
    parameters = _parameters(criterion)
    variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    return (len(parameters) >= 2 or variadic) and all(
        p.default is not p.empty or p.name in LABEL_ARGUMENTS
        for p in _extra_parameters(criterion)
    )


def _check_signature(name: str, criterion: nn.Module) -> None:
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
