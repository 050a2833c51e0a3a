"""The loss of deeply-supervised knowledge distillation."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Optional, Union, cast

from torch import Tensor, nn

from mmdskd.registry import MODELS
from mmdskd.utils.config import AUTO, check_resolved
from mmdskd.utils.rules import COUNT, FLAG, WEIGHT, AnyOf, Choice
from mmdskd.utils.values import check_values

from ..architectures.heads import Branch
from .allocated_loss import AllocatedLoss
from .criterion import (
    LOSSES,
    LossConfig,
    build_criteria,
    call_criteria,
    find_label_arguments,
    unweighted,
)
from .last_layer import (
    LAST_LAYER,
    add_last_branch,
    check_terms,
    find_last_needs,
)
from .loss_schedule import SCHEDULE, LossSchedule
from .terms import (
    check_branches,
    check_given,
    choose_terms,
    detach_target,
    find_needs,
    need_logits,
)


@MODELS.register_module()
class DSKDLoss(AllocatedLoss):
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
        num_branches (int): Number of branches L, >= 1. In a config it may be
            "auto" or left out: :func:`mmdskd.utils.resolve_auto` finds it.
        logit_loss (dict or list[dict], optional): Loss between the logits of
            a branch and the teacher's, one config for all branches or one
            per branch; built modules are taken too. Defaults to None.
        feat_loss (dict or list[dict], optional): Loss between the projected
            feature of a branch and the teacher's feature. Defaults to None.
        label_loss (dict or list[dict], optional): Loss between the logits of
            a branch and the labels. Defaults to None.
        loss_weight (float): Weight of the whole. Defaults to 1.0.
        schedule (str or dict): How the weight of the whole changes over the
            training, see :class:`LossSchedule`: "constant", "linear",
            "cosine", or ``dict(type='cosine', floor=0.1)``. It follows the
            hook, or :meth:`set_progress`. Defaults to "constant".
        last_layer (bool): Whether the last layer of the student is one more
            branch, the last one: L is then ``num_branches`` + 1. So a public
            port by readers of the paper does it. Defaults to False.
        reduction (str): "sum" over the branches, or "mean", which is a sum
            with weights that add up to 1. Defaults to "sum".

    Attributes:
        needs (list[str]): The arguments of ``forward`` that are not optional
            with these terms.
        allocation (nn.ModuleDict): :class:`BranchWeights` per term.
        last_losses (dict[str, Tensor]): Per term the losses of the branches
            in the last forward, in eval mode as well, before their
            ``loss_weight``, detached, (L, ). A fresh dict at each forward.
        num_nonfinite (Tensor): Number of losses left out of the weights, as
            they were not finite, over all terms, scalar.
        ramp (Tensor): Factor r on the whole, in [0, 1], a buffer: warm-up
            times ``schedule``.

    Raises:
        TypeError: If a loss is neither a config nor a module, or another
            argument is of another type.
        ValueError: If there is no term, a list is not one per branch,
            ``tau`` of a loss is not positive, a loss needs more than student,
            teacher and labels, there is a label loss with ``last_layer``, or
            ``schedule`` or ``reduction`` is none.

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

    #: What the arguments should be.
    VALUES: ClassVar[dict[str, Any]] = dict(
        num_branches=AnyOf((COUNT, Choice((AUTO,)))),
        logit_loss=LOSSES,
        feat_loss=LOSSES,
        label_loss=LOSSES,
        loss_weight=WEIGHT,
        schedule=SCHEDULE,
        last_layer=FLAG,
        reduction=Choice(('sum', 'mean')),
    )

    criteria: Mapping[str, Sequence[nn.Module]]

    def __init__(
        self,
        num_branches: Union[int, str] = AUTO,
        logit_loss: Optional[LossConfig] = None,
        feat_loss: Optional[LossConfig] = None,
        label_loss: Optional[LossConfig] = None,
        loss_weight: float = 1.0,
        schedule: Union[str, dict, LossSchedule] = 'constant',
        last_layer: bool = False,
        reduction: str = 'sum',
    ) -> None:
        check_resolved('DSKDLoss', num_branches=num_branches)
        check_values(
            'DSKDLoss',
            self.VALUES,
            dict(
                num_branches=num_branches,
                loss_weight=loss_weight,
                last_layer=last_layer,
                reduction=reduction,
            ),
        )
        assert isinstance(num_branches, int)  # not "auto"
        cfgs: dict[str, Any] = dict(
            logit_loss=logit_loss, feat_loss=feat_loss, label_loss=label_loss
        )
        terms = choose_terms(cfgs)
        last_needs = find_last_needs(terms) if last_layer else []
        num_weights = num_branches + bool(last_layer)
        super().__init__([term.name for term in terms], num_weights, schedule)
        self.terms = terms
        self.num_branches = num_branches
        self.loss_weight = loss_weight
        self.last_layer = last_layer
        self.reduction = reduction
        criteria = {
            term.name: build_criteria(
                term.argument, cfgs[term.argument], num_weights
            )
            for term in self.terms
        }
        self.criteria = cast(Any, nn.ModuleDict(criteria))
        # Looked up once: to read a signature takes longer than a loss of
        # logits does. Where the labels are the target, they go by position.
        self._label_arguments = {
            term.name: find_label_arguments(criteria[term.name])
            if term.from_teacher
            else [None] * num_weights
            for term in self.terms
        }
        self.needs = find_needs(self.terms, last_needs, self._label_arguments)
        self.last_losses: dict[str, Tensor] = dict()

    #: What checks arguments that depend on one another.
    check_together = staticmethod(check_terms)

    @property
    def needs_logits(self) -> bool:
        """bool: Whether the branches must have a classifier."""
        return need_logits(self.terms)

    def forward(
        self,
        branches: Sequence[Branch],
        preds_T: Optional[Tensor] = None,
        feat_T: Optional[Tensor] = None,
        gt_labels: Optional[Tensor] = None,
        preds_S: Optional[Tensor] = None,
        feat_S: Optional[Tensor] = None,
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
            preds_S (Tensor, optional): With ``last_layer``, the student's
                own logits, (N, K).
            feat_S (Tensor, optional): With ``last_layer``, its last feature
                in the shape of the teacher's, (N, C, H, W).

        Returns:
            Tensor: The loss, scalar.

        Raises:
            TypeError: If ``branches`` is not a list of :class:`Branch`, or
                what teacher or last layer give is not a tensor.
            ValueError: If an argument that a term needs is missing, the last
                layer gives what none needs, or branches and teacher do not
                agree in number or shape.
            RuntimeError: If there is a ``schedule``, and no progress.
        """
        given: dict[str, Any] = dict(
            branches=branches,
            preds_T=detach_target('preds_T', preds_T),
            feat_T=detach_target('feat_T', feat_T),
            gt_labels=gt_labels,
            preds_S=preds_S,
            feat_S=feat_S,
        )
        check_given(given, self.needs, self.terms, LAST_LAYER.values())
        check_branches(branches, self.num_branches, self.terms, given)
        self.check_progress()
        if self.last_layer:
            branches = add_last_branch(branches, self.needs, given)
        last_losses = dict()
        total: Any = 0
        for term in self.terms:
            criteria = self.criteria[term.name]
            losses = call_criteria(
                term.argument,
                criteria,
                [getattr(branch, term.output) for branch in branches],
                given[term.target],
                self._label_arguments[term.name],
                gt_labels,
            )
            plain = unweighted(criteria, losses.detach())
            last_losses[term.name] = plain
            allocation = self.allocation[term.name]
            if self.training:
                allocation.record(plain)
            # Copies, so that a backward after the next update is right.
            total = total + (allocation.weights.clone() * losses).sum()
        self.last_losses = last_losses
        if self.reduction == 'mean':
            total = total / len(branches)
        return self.loss_weight * self.ramp.clone() * total
