"""The terms of the DSKD loss, and what each of them compares."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Optional

from torch import Tensor

from ..architectures.heads import Branch


class Term(NamedTuple):
    """One term of :class:`~mmdskd.models.DSKDLoss`.

    Attributes:
        name (str): Name in ``criteria``, ``allocation``, logs and strategies.
        output (str): The field of :class:`Branch` that it reads.
        target (str): The argument of ``forward`` that it compares it with.
        from_teacher (bool): Whether the teacher gives the target, in the
            shape of the output.
    """

    name: str
    output: str
    target: str
    from_teacher: bool

    @property
    def argument(self) -> str:
        """str: The argument of ``DSKDLoss`` that configures it."""
        return f'{self.name}_loss'


TERMS = (
    Term('logit', output='logits', target='preds_T', from_teacher=True),
    Term('feat', output='feat', target='feat_T', from_teacher=True),
    Term('label', output='logits', target='gt_labels', from_teacher=False),
)


def need_logits(terms: Sequence[Term]) -> bool:
    """Tell whether the branches must have a classifier.

    Args:
        terms (Sequence[Term]): The terms of a loss.

    Returns:
        bool: Whether one of them reads logits.
    """
    return any(term.output == 'logits' for term in terms)


def detach_target(name: str, value: Optional[Tensor]) -> Optional[Tensor]:
    """Take what the teacher gives out of its graph.

    Args:
        name (str): The argument of ``forward``, for messages.
        value (Tensor, optional): What the teacher gives.

    Returns:
        Tensor, optional: It, detached.

    Raises:
        TypeError: If it is not a tensor.
    """
    if value is not None and not isinstance(value, Tensor):
        raise TypeError(
            f'{name} should be a tensor, but got a {type(value).__name__}; of '
            'several outputs, data_idx in loss_forward_mappings takes one'
        )
    return None if value is None else value.detach()


def check_branches(
    branches: Sequence[Branch],
    num_branches: int,
    terms: Sequence[Term],
    targets: Mapping[str, Tensor],
) -> None:
    """Check that the branches fit the terms and the teacher.

    Args:
        branches (Sequence[Branch]): The branches.
        num_branches (int): How many there should be.
        terms (Sequence[Term]): The terms of the loss.
        targets (Mapping[str, Tensor]): The other arguments of ``forward``,
            by name.

    Raises:
        TypeError: If ``branches`` is not a list of :class:`Branch`.
        ValueError: If branches, terms and teacher do not agree.
    """
    wrong = [b for b in branches if not isinstance(b, Branch)]
    if wrong:
        raise TypeError(
            'branches should be a list of Branch(feat, logits), one per '
            'layer, as DSKDConnector returns it, but got a '
            f'{type(branches).__name__} with {type(wrong[0]).__name__}'
        )
    if len(branches) != num_branches:
        raise ValueError(
            f'DSKDLoss has num_branches={num_branches},'
            f' but got {len(branches)} branches'
        )
    needs_logits = need_logits(terms)
    for index, branch in enumerate(branches):
        if not needs_logits and branch.logits is not None:
            raise ValueError(
                f'Branch {index} has a classifier, but DSKDLoss has '
                'neither logit_loss nor label_loss; a classifier without '
                'gradient breaks distributed training: set '
                'num_classes=None in DSKDConnector'
            )
        if needs_logits and branch.logits is None:
            raise ValueError(
                f'Branch {index} has no classifier, but DSKDLoss has a '
                'logit_loss or label_loss: set num_classes in '
                'DSKDConnector'
            )
        for term in terms:
            output = getattr(branch, term.output)
            if output is None:
                raise ValueError(
                    f'Branch {index} has no feature, but DSKDLoss has a '
                    f'{term.argument}'
                )
            target = targets[term.target]
            if term.from_teacher and output.shape != target.shape:
                what = dict(logits='logits', feat='a feature')[term.output]
                raise ValueError(
                    f'Branch {index}: expected {what} of the shape of '
                    f"the teacher's, {tuple(target.shape)}, but got "
                    f'{tuple(output.shape)}: see num_classes, out_channels '
                    'and strides of DSKDConnector'
                )
