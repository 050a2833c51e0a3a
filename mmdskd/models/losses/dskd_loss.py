from collections.abc import Mapping, Sequence
from typing import Callable, Optional, Union

import torch
from torch import Tensor, nn

from mmdskd.registry import MODELS
from mmdskd.utils.config import check_resolved

from ..architectures.heads import Branch
from .branch_weights import BranchWeights, add_over_ranks
from .criterion import (
    _SEE,
    _UNFIT,
    LossConfig,
    _check_signature,
    _label_argument,
    check_tau,
)

Strategy = Callable[[Tensor, Tensor], Tensor]


@MODELS.register_module()
class DSKDLoss(nn.Module):
    """Loss of deeply-supervised knowledge distillation.

    .. math::
        L = r \\cdot \\sum_{l=1}^{L}
            a_l L_{logit}(z_l, z_T) + b_l L_{feat}(g_l(F_l), F_T)
            + c_l L_{label}(z_l, y)

    of `Knowledge Distillation with Deep Supervision
    <https://arxiv.org/abs/2202.07846>`_ (Luo, Chen, Wang, IJCNN 2023), over
    the branches on the shallow layers of the student. The weights a, b and c
    average to 1 each and are written by
    :class:`~mmdskd.engine.LossWeightSchedulerHook`, or by
    :meth:`collect_losses` and :meth:`update_weights` in a loop of one's own;
    else they stay as they are, which is 1 in a new model.
    The term on the labels is not in the paper's abstract, and off by default.

    Each term is any registered loss of MMRazor (by its bare name) or
    MMPretrain (``mmpretrain.Name``) whose ``forward`` takes student and
    teacher first, and labels by name if it wants them; the label loss takes
    logits and labels. The teacher is detached here, since not all losses do
    it.

    Args:
        num_branches (int): Number of branches L, >= 1.
        logit_loss (dict or list[dict], optional): Loss between the logits of
            a branch and the teacher's, one config for all branches or one
            per branch; built modules are taken too. Defaults to None.
        feat_loss (dict or list[dict], optional): Loss between the projected
            feature of a branch and the teacher's feature. Defaults to None.
        label_loss (dict or list[dict], optional): Loss between the logits of
            a branch and the labels. Defaults to None.
        loss_weight (float): Weight of the whole. Defaults to 1.0.

    Attributes:
        needs (list[str]): The arguments of ``forward`` that are not optional
            with these terms.
        allocation (nn.ModuleDict): :class:`BranchWeights` per term.
        last_losses (dict[str, Tensor]): Per term the losses of the branches
            in the last forward, before their ``loss_weight``, detached,
            (L, ). A fresh dict at each forward.
        ramp (Tensor): Factor r on the whole, in [0, 1], a buffer.

    Raises:
        TypeError: If a loss is neither a config nor a module.
        ValueError: If there is no term, a list is not one per branch,
            ``tau`` of a loss is not positive, or a loss needs more than
            student, teacher and labels.

    Examples:
        >>> import torch
        >>> from mmdskd.models import Branch, DSKDLoss
        >>> loss = DSKDLoss(
        ...     num_branches=2,
        ...     logit_loss=dict(type='KLDivergence', tau=4),
        ...     feat_loss=dict(
        ...         type='L2Loss', normalize=False, div_element=True))
        >>> branches = [
        ...     Branch(torch.rand(8, 64, 4, 4), torch.rand(8, 10))
        ...     for _ in range(2)]
        >>> loss(branches, torch.rand(8, 10), torch.rand(8, 64, 4, 4)).shape
        torch.Size([])
    """

    def __init__(
        self,
        num_branches: int,
        logit_loss: Optional[LossConfig] = None,
        feat_loss: Optional[LossConfig] = None,
        label_loss: Optional[LossConfig] = None,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_resolved('DSKDLoss', num_branches=num_branches)
        if (
            not isinstance(num_branches, int)
            or num_branches < 1
            or isinstance(num_branches, bool)
        ):
            raise ValueError(
                'num_branches should be a whole number >= 1, '
                f'but got {num_branches}'
            )
        self.num_branches = num_branches
        self.loss_weight = loss_weight
        terms = dict(logit=logit_loss, feat=feat_loss, label=label_loss)
        self.criteria = nn.ModuleDict(
            {
                term: self._build_criteria(f'{term}_loss', cfg)
                for term, cfg in terms.items()
                if cfg is not None
            }
        )
        if not self.criteria:
            raise ValueError(
                'DSKDLoss needs at least one of logit_loss, '
                'feat_loss and label_loss, but got none'
            )
        # Looked up once: to read a signature takes longer than a loss of
        # logits does. The label loss takes its labels by position.
        self._label_arguments = {
            term: [
                None if term == 'label' else _label_argument(criterion)
                for criterion in criteria
            ]
            for term, criteria in self.criteria.items()
        }
        self.needs = self._find_needs()
        self.allocation = nn.ModuleDict(
            {term: BranchWeights(num_branches) for term in self.criteria}
        )
        self.last_losses: dict[str, Tensor] = dict()
        self.register_buffer('ramp', torch.tensor(1.0))

    @property
    def needs_logits(self) -> bool:
        """bool: Whether the branches must have a classifier."""
        return 'logit' in self.criteria or 'label' in self.criteria

    def reset(self) -> None:
        """Start anew with equal weights and without ramp."""
        for weights in self.allocation.values():
            weights.reset()
        self.ramp.fill_(1)

    def collect_losses(self) -> None:
        """Take in the losses of the last forward, for the next update of the
        weights.

        To be called after each iteration, on all ranks alike: see
        :func:`add_over_ranks`.
        """
        add_over_ranks(
            [
                (self.allocation[term], losses)
                for term, losses in self.last_losses.items()
            ]
        )

    def update_weights(
        self,
        strategy: Union[Strategy, Mapping[str, Strategy]],
        ema_decay: float = 0.9,
        strength: float = 1.0,
    ) -> None:
        """Write the weights, from the losses collected since the last update.

        Args:
            strategy (Callable or dict[str, Callable]): The rule, such as
                :class:`~mmdskd.models.SoftmaxStrategy`, or one for each term,
                by its name.
            ema_decay (float): Share of the old losses in the smoothed ones,
                in [0, 1). Defaults to 0.9.
            strength (float): Share of the rule in the weights, in [0, 1]; the
                rest is 1 for each branch. Defaults to 1.

        Raises:
            TypeError: If ``strategy`` is none of these.
            KeyError: If a term has no rule.
            ValueError: If ``ema_decay`` or ``strength`` is out of its range.
        """
        if not 0 <= ema_decay < 1:
            raise ValueError(
                f'ema_decay should be in [0, 1), but got {ema_decay}'
            )
        if not 0 <= strength <= 1:
            raise ValueError(
                f'strength should be in [0, 1], but got {strength}'
            )
        if not callable(strategy) and not isinstance(strategy, Mapping):
            raise TypeError(
                'strategy should be a function of losses and previous losses, '
                f'such as SoftmaxStrategy(), or a dict of them by term, but '
                f'got {strategy!r}'
            )
        for term, weights in self.allocation.items():
            if not callable(strategy) and term not in strategy:
                raise KeyError(
                    'strategy should be one, or one for each of the terms '
                    f'{list(self.allocation)}, but has none for {term!r}'
                )
            rule = strategy if callable(strategy) else strategy[term]
            weights.update(rule, ema_decay, strength)

    def forward(
        self,
        branches: Sequence[Branch],
        preds_T: Optional[Tensor] = None,
        feat_T: Optional[Tensor] = None,
        gt_labels: Optional[Tensor] = None,
    ) -> Tensor:
        """Compute the weighted sum over branches and terms.

        Args:
            branches (Sequence[Branch]): What
                :class:`~mmdskd.models.DSKDConnector` returns: per branch a
                feature, (N, C, H, W), and logits, (N, K), or None.
            preds_T (Tensor, optional): Teacher logits, (N, K).
            feat_T (Tensor, optional): Teacher feature, (N, C, H, W).
            gt_labels (Tensor, optional): Class indices, (N, ), or, after
                mixup, class probabilities, (N, K).

        Returns:
            Tensor: The loss, scalar.

        Raises:
            TypeError: If ``branches`` is not a list of :class:`Branch`, or
                what the teacher gives is not a tensor.
            ValueError: If an argument that a term needs is missing, or
                branches and teacher do not agree in number or shape.
        """
        given = dict(
            branches=branches,
            preds_T=preds_T,
            feat_T=feat_T,
            gt_labels=gt_labels,
        )
        missing = [name for name in self.needs if given[name] is None]
        if missing:
            raise ValueError(
                f'DSKDLoss with the terms {list(self.criteria)} needs '
                f'{", ".join(self.needs)}, but got no {", ".join(missing)}'
            )
        preds_T = _detach('preds_T', preds_T)
        feat_T = _detach('feat_T', feat_T)
        self._check_branches(branches, preds_T, feat_T)

        inputs = dict(
            logit=[(branch.logits, preds_T) for branch in branches],
            feat=[(branch.feat, feat_T) for branch in branches],
            label=[(branch.logits, gt_labels) for branch in branches],
        )
        last_losses = dict()
        total = 0
        for term, criteria in self.criteria.items():
            losses = torch.stack(
                [
                    self._branch_loss(term, index, pair, gt_labels)
                    for index, pair in enumerate(inputs[term])
                ]
            )
            last_losses[term] = self._unweighted(criteria, losses.detach())
            # Copies, so that a backward after the next update is right.
            weights = self.allocation[term].weights.clone()
            total = total + (weights * losses).sum()
        self.last_losses = last_losses
        return self.loss_weight * self.ramp.clone() * total

    def _find_needs(self) -> list[str]:
        """List the arguments of ``forward`` that the terms need."""
        labels = 'label' in self.criteria or any(
            name for names in self._label_arguments.values() for name in names
        )
        return ['branches'] + [
            name
            for name, needed in (
                ('preds_T', 'logit' in self.criteria),
                ('feat_T', 'feat' in self.criteria),
                ('gt_labels', labels),
            )
            if needed
        ]

    def _build_criteria(self, name: str, cfg: LossConfig) -> nn.ModuleList:
        """Build one loss per branch and check that it can be called."""
        cfgs = (
            list(cfg)
            if isinstance(cfg, (list, tuple))
            else [cfg] * self.num_branches
        )
        for c in cfgs:
            if not isinstance(c, (dict, nn.Module)):
                raise TypeError(
                    f'{name} should be the config of a loss, such as '
                    'dict(type="KLDivergence"), or an nn.Module, or a list of '
                    f'them with one per branch, but got {cfg!r}'
                )
        if len(cfgs) != self.num_branches:
            raise ValueError(
                f'{name} should be one config, or one per branch '
                f'({self.num_branches}), but got a list of {len(cfgs)}'
            )
        # MMRazor's names are found whatever scope the caller is in.
        criteria = nn.ModuleList(
            c
            if isinstance(c, nn.Module)
            else MODELS.build(dict(c, _scope_=c.get('_scope_', 'mmrazor')))
            for c in cfgs
        )
        for criterion in criteria:
            check_tau(name, criterion)
            _check_signature(name, criterion)
        return criteria

    def _check_branches(
        self,
        branches: Sequence[Branch],
        preds_T: Optional[Tensor],
        feat_T: Optional[Tensor],
    ) -> None:
        """Raise if the branches and the teacher do not fit."""
        wrong = [b for b in branches if not isinstance(b, Branch)]
        if wrong:
            raise TypeError(
                'branches should be a list of Branch(feat, logits), one per '
                'layer, as DSKDConnector returns it, but got a '
                f'{type(branches).__name__} with {type(wrong[0]).__name__}'
            )
        if len(branches) != self.num_branches:
            raise ValueError(
                f'DSKDLoss has num_branches={self.num_branches},'
                f' but got {len(branches)} branches'
            )
        for index, branch in enumerate(branches):
            if not self.needs_logits and branch.logits is not None:
                raise ValueError(
                    f'Branch {index} has a classifier, but DSKDLoss has '
                    'neither logit_loss nor label_loss; a classifier without '
                    'gradient breaks distributed training: set '
                    'num_classes=None in DSKDConnector'
                )
            if self.needs_logits and branch.logits is None:
                raise ValueError(
                    f'Branch {index} has no classifier, but DSKDLoss has a '
                    'logit_loss or label_loss: set num_classes in '
                    'DSKDConnector'
                )
            pairs = (
                ('logit', 'logits', branch.logits, preds_T),
                ('feat', 'a feature', branch.feat, feat_T),
            )
            for term, what, ours, theirs in pairs:
                if term not in self.criteria:
                    continue
                if ours is None:
                    raise ValueError(
                        f'Branch {index} has no {what.split()[-1]}, but '
                        f'DSKDLoss has a {term}_loss'
                    )
                if ours.shape != theirs.shape:
                    raise ValueError(
                        f'Branch {index}: expected {what} of the shape of '
                        f"the teacher's, {tuple(theirs.shape)}, but got "
                        f'{tuple(ours.shape)}: see num_classes, out_channels '
                        'and strides of DSKDConnector'
                    )

    def _branch_loss(
        self, term: str, index: int, pair: tuple, gt_labels: Optional[Tensor]
    ) -> Tensor:
        """Compute one term of one branch."""
        criterion = self.criteria[term][index]
        label_argument = self._label_arguments[term][index]
        if label_argument and gt_labels.dim() != 1:
            raise ValueError(
                f'{term}_loss: {type(criterion).__name__} takes class '
                f'indices (N, ), but got labels {tuple(gt_labels.shape)}, as '
                'mixup and CutMix make them; take a loss that needs no '
                'labels, or leave out batch_augments'
            )
        labels = {label_argument: gt_labels} if label_argument else {}
        try:
            loss = criterion(*pair, **labels)
        except torch.cuda.OutOfMemoryError:
            raise
        except _UNFIT as error:
            shapes = ', '.join(str(tuple(tensor.shape)) for tensor in pair)
            raise ValueError(
                f'Branch {index}: {term}_loss should take tensors of shapes '
                f'{shapes}, but {type(criterion).__name__} does not '
                f'({type(error).__name__}: {error}); {_SEE}'
            ) from error
        if loss.dim() != 0:
            raise ValueError(
                f'Branch {index}: {term}_loss should return a scalar, but '
                f'{type(criterion).__name__} returns a tensor of shape '
                f'{tuple(loss.shape)}: set its reduction'
            )
        return loss

    @staticmethod
    def _unweighted(criteria: nn.ModuleList, losses: Tensor) -> Tensor:
        """Take the sub-losses' own ``loss_weight`` out of (L, ) losses.

        A loss of weight 0 has no known value and counts as 0.
        """
        factors = [
            float(getattr(criterion, 'loss_weight', 1))
            for criterion in criteria
        ]
        if all(factor == 1 for factor in factors):
            return losses.float()
        # Scalars of Python reach the device without waiting for it.
        return torch.stack(
            [
                loss * (1 / factor if factor else 0)
                for loss, factor in zip(losses.float(), factors)
            ]
        )


def _detach(name: str, value: Optional[Tensor]) -> Optional[Tensor]:
    """Take what the teacher gives out of its graph."""
    if value is not None and not isinstance(value, Tensor):
        raise TypeError(
            f'{name} should be a tensor, but got a {type(value).__name__}; of '
            'several outputs, data_idx in loss_forward_mappings takes one'
        )
    return None if value is None else value.detach()
