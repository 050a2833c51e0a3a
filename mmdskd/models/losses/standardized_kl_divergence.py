"""The KL divergence of standardised logits."""

from typing import Any, ClassVar

import torch
from mmrazor.models.losses import KLDivergence
from torch import Tensor

from mmdskd.registry import MODELS
from mmdskd.utils.rules import FLAG, POSITIVE, WEIGHT, Choice
from mmdskd.utils.values import check_values


@MODELS.register_module()
class StandardizedKLDivergence(KLDivergence):
    """KL divergence of logits that are standardised per sample.

    .. math::
        L = \\tau^2 \\cdot KL(softmax(Z(z_T) / \\tau)
            \\Vert softmax(Z(z_S) / \\tau)),
        \\quad Z(z) = \\frac{z - \\bar{z}}{\\sigma(z) + \\epsilon}

    of Sun, Ren, Li, Wang and Cao, `Logit Standardization in Knowledge
    Distillation <https://arxiv.org/abs/2403.01427>`_, CVPR 2024. The student
    learns how the teacher's logits relate to one another, and need not match
    their scale. It takes the place of MMRazor's ``KLDivergence``, on the last
    layer and as the ``logit_loss`` of :class:`~mmdskd.models.DSKDLoss`.

    As in the published code, the deviation is that of ``torch.std``, with
    K - 1 in the denominator, and ``eps`` is added to it. There, KD on
    CIFAR-100 has by default a base temperature (``tau``) of 2 and a weight of
    9, beside a cross-entropy of weight 1. Here, ``tau`` and ``loss_weight``
    have the defaults of ``KLDivergence``.

    The gradient is divided by the deviation of the student's logits, which
    is small at the start of training: a classifier that is initialised small
    gets large gradients then. So a weight that suits ``KLDivergence`` can be
    too much here. A warm-up (``loss_warmup`` of
    :class:`~mmdskd.engine.LossWeightSchedulerHook` for the branches), a
    smaller weight or a larger ``eps`` helps.

    Half precision is raised to float32, where ``eps`` is not rounded to 0.

    Args:
        tau (float): Temperature, > 0. Defaults to 1.0.
        reduction (str): "none", "batchmean", "sum" or "mean". Defaults to
            "batchmean".
        loss_weight (float): Weight of the loss. Defaults to 1.0.
        teacher_detach (bool): Whether to detach the teacher's logits.
            Defaults to True.
        eps (float): Added to the deviation, > 0. The gradient is divided by
            no less. Defaults to 1e-7, as in the published code.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If a number is out of its range, or ``reduction`` is none.

    Examples:
        >>> import torch
        >>> from mmdskd.models import StandardizedKLDivergence
        >>> logits = torch.tensor([[1., 2., 6.]])
        >>> loss = StandardizedKLDivergence(tau=2)
        >>> print(f'{loss(3 * logits + 1, logits).abs():.4f}')
        0.0000
    """

    #: What the arguments should be.
    VALUES: ClassVar[dict[str, Any]] = dict(
        tau=POSITIVE,
        reduction=Choice(('none', 'batchmean', 'sum', 'mean')),
        loss_weight=WEIGHT,
        teacher_detach=FLAG,
        eps=POSITIVE,
    )

    def __init__(
        self,
        tau: float = 1.0,
        reduction: str = 'batchmean',
        loss_weight: float = 1.0,
        teacher_detach: bool = True,
        eps: float = 1e-7,
    ) -> None:
        check_values(
            'StandardizedKLDivergence',
            self.VALUES,
            dict(
                tau=tau,
                reduction=reduction,
                loss_weight=loss_weight,
                teacher_detach=teacher_detach,
                eps=eps,
            ),
        )
        super().__init__(tau, reduction, loss_weight, teacher_detach)
        self.eps = eps

    def forward(self, preds_S: Tensor, preds_T: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            preds_S (Tensor): Student logits, (N, K).
            preds_T (Tensor): Teacher logits, (N, K).

        Returns:
            Tensor: The loss, scalar, or (N, K) with ``reduction="none"``.

        Raises:
            ValueError: If one of them is not (N, K) with K >= 2.
        """
        return super().forward(
            self._standardize('preds_S', preds_S),
            self._standardize('preds_T', preds_T),
        )

    def _standardize(self, name: str, logits: Tensor) -> Tensor:
        if logits.dim() != 2 or logits.size(1) < 2:
            raise ValueError(
                f'{name} of StandardizedKLDivergence should be logits (N, K) '
                'of K >= 2 classes, but got a tensor of shape '
                f'{tuple(logits.shape)}'
            )
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        std, mean = torch.std_mean(logits, dim=1, keepdim=True)
        return (logits - mean) / (std + self.eps)
