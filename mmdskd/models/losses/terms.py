"""The terms of the DSKD loss, and what each of them compares."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Optional

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


def choose_terms(cfgs: Mapping[str, Any]) -> list[Term]:
    """Choose the terms that are configured.

    Args:
        cfgs (Mapping): Per argument of ``DSKDLoss`` its value, or None.

    Returns:
        list[Term]: The terms, in the order of ``TERMS``.

    Raises:
        ValueError: If there is none.
    """
    terms = [term for term in TERMS if cfgs[term.argument] is not None]
    if not terms:
        raise ValueError(
            'DSKDLoss needs at least one of logit_loss, feat_loss and '
            'label_loss, but got none'
        )
    return terms


def need_logits(terms: Sequence[Term]) -> bool:
    """Tell whether the branches must have a classifier.

    Args:
        terms (Sequence[Term]): The terms of a loss.

    Returns:
        bool: Whether one of them reads logits.
    """
    return any(term.output == 'logits' for term in terms)


def check_tensor(name: str, value: Any) -> None:
    """Check an argument of ``forward`` that a network gives.

    Args:
        name (str): The argument, for messages.
        value: What the network gives.

    Raises:
        TypeError: If it is not a tensor.
    """
    if not isinstance(value, Tensor):
        raise TypeError(
            f'{name} should be a tensor, but got a {type(value).__name__}; of '
            'several outputs, data_idx in loss_forward_mappings takes one'
        )


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
    if value is None:
        return None
    check_tensor(name, value)
    return value.detach()


def find_needs(
    terms: Sequence[Term],
    of_last_layer: Sequence[str],
    label_arguments: Mapping[str, Sequence[Optional[str]]],
) -> list[str]:
    """List the arguments of ``forward`` that are not optional.

    Args:
        terms (Sequence[Term]): The terms of the loss.
        of_last_layer (Sequence[str]): What the last layer must give.
        label_arguments (Mapping): Per term the names by which its losses
            take the labels, or None.

    Returns:
        list[str]: Their names.
    """
    targets = [term.target for term in terms]
    needs = ['branches', *targets, *of_last_layer]
    labels = any(name for names in label_arguments.values() for name in names)
    return needs + ['gt_labels'] * (labels and 'gt_labels' not in needs)


def check_given(
    given: Mapping[str, Any],
    needs: Sequence[str],
    terms: Sequence[Term],
    strict: Iterable[str],
) -> None:
    """Check that ``forward`` has got what the terms need.

    Args:
        given (Mapping): The arguments of ``forward`` by name.
        needs (Sequence[str]): Names of those that should not be None.
        terms (Sequence[Term]): The terms of the loss.
        strict (Iterable[str]): Names of those that should be None unless
            they are in ``needs``.

    Raises:
        ValueError: If they are not so.
    """
    loss = f'DSKDLoss with the terms {[term.name for term in terms]}'
    missing = [name for name in needs if given[name] is None]
    if missing:
        raise ValueError(
            f'{loss} needs {", ".join(needs)}, but got no {", ".join(missing)}'
        )
    unused = [name for name in strict if name not in needs]
    unused = [name for name in unused if given[name] is not None]
    if unused:
        raise ValueError(
            f'{loss} needs {", ".join(needs)} only, but got '
            f'{", ".join(unused)}, which are for last_layer=True with a '
            'logit_loss (preds_S) or a feat_loss (feat_S)'
        )


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
