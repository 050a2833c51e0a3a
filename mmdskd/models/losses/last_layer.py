"""The last layer of the student as one more branch of the DSKD loss."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..architectures.heads import Branch
from .terms import TERMS, Term, check_tensor, choose_terms

# What the last layer gives, by the field of a branch.
LAST_LAYER = dict(logits='preds_S', feat='feat_S')


def find_last_needs(terms: Sequence[Term]) -> list[str]:
    """List what the last layer must give.

    Args:
        terms (Sequence[Term]): The terms of a loss over the last layer.

    Returns:
        list[str]: "preds_S", "feat_S" or both.

    Raises:
        ValueError: If there is a label loss.
    """
    if any(not term.from_teacher for term in terms):
        raise ValueError(
            'label_loss should be None with last_layer=True, but is given: '
            'the last layer already learns from the labels by the loss of '
            'the student'
        )
    return [LAST_LAYER[term.output] for term in terms]


def check_terms(arguments: Mapping[str, Any]) -> None:
    """Check that the terms of a loss fit one another, before it is built.

    Args:
        arguments (dict): The arguments of ``DSKDLoss`` by name.

    Raises:
        ValueError: If there is no term, a label loss with ``last_layer``, or
            a list of losses that is not one per branch.
    """
    cfgs = {term.argument: arguments.get(term.argument) for term in TERMS}
    terms = choose_terms(cfgs)
    if arguments.get('last_layer'):
        find_last_needs(terms)
    num_branches = arguments.get('num_branches')
    if type(num_branches) is not int:
        return
    num_losses = num_branches + bool(arguments.get('last_layer'))
    for name, cfg in cfgs.items():
        if isinstance(cfg, (list, tuple)) and len(cfg) != num_losses:
            raise ValueError(
                f'{name} should be one config, or one per branch '
                f'({num_losses}), but got a list of {len(cfg)}'
            )


def add_last_branch(
    branches: Sequence[Branch], needs: Sequence[str], given: Mapping[str, Any]
) -> list[Branch]:
    """Append the last layer to the shallow branches.

    Args:
        branches (Sequence[Branch]): The shallow branches, L - 1 of them.
        needs (Sequence[str]): What the loss needs, with that of
            :func:`find_last_needs` in it.
        given (Mapping): The arguments of ``forward`` by name: ``preds_S``,
            (N, K), and ``feat_S``, (N, C, H, W), are the student's, and
            ``preds_T`` and ``feat_T`` the teacher's, of the same shapes.

    Returns:
        list[Branch]: The branches, L of them.

    Raises:
        TypeError: If the last layer does not give a tensor.
        ValueError: If it gives another shape than the teacher's.
    """
    for name, target, remedy in (
        ('preds_S', 'preds_T', 'student and teacher need the same classes'),
        (
            'feat_S',
            'feat_T',
            'let it go through a connector in loss_forward_mappings, such as '
            "a 1x1 convolution, dict(type='ConvModuleConnector', "
            'in_channel=..., out_channel=...)',
        ),
    ):
        if name not in needs:
            continue
        value, wanted = given[name], given[target]
        check_tensor(name, value)
        if value.shape != wanted.shape:
            raise ValueError(
                f'{name} should have the shape of {target}, '
                f'{tuple(wanted.shape)}, but got {tuple(value.shape)}: '
                f'{remedy}'
            )
    return [*branches, Branch(feat=given['feat_S'], logits=given['preds_S'])]
