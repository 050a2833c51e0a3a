"""The KL divergence of each class by itself, for several labels per image."""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdskd.registry import MODELS
from mmdskd.utils.rules import FLAG, POSITIVE, WEIGHT, Choice
from mmdskd.utils.values import check_values

REDUCTIONS = ('batchmean', 'sum', 'mean', 'none')


def binary_kl_divergence(
    preds_S: Tensor, preds_T: Tensor, tau: float = 1.0
) -> Tensor:
    """Compute the KL divergence of the probabilities of each class.

    Each class is a distribution of its own, {p, 1 - p} with
    p = sigmoid(z / tau).

    Args:
        preds_S (Tensor): Student logits, (N, K).
        preds_T (Tensor): Teacher logits, (N, K).
        tau (float): Temperature, > 0. Defaults to 1.0.

    Returns:
        Tensor: tau^2 KL(teacher || student), >= 0, (N, K).
    """
    losses: list[Tensor] = []
    for sign in (1, -1):  # the class is there, and is not there
        log_S = F.logsigmoid(sign * preds_S / tau)
        log_T = F.logsigmoid(sign * preds_T / tau)
        losses.append(log_T.exp() * (log_T - log_S))
    return tau**2 * (losses[0] + losses[1])


@MODELS.register_module()
class BinaryKLDivergence(nn.Module):
    """KL divergence of logits whose classes do not exclude one another.

    .. math::
        L = \\tau^2 \\sum_k KL(\\{p_k, 1 - p_k\\} \\Vert \\{q_k, 1 - q_k\\}),
        \\quad p = sigmoid(z_T / \\tau), \\quad q = sigmoid(z_S / \\tau)

    This is the distillation of logits by one-versus-all reduction of Yang,
    Xie, Zong, Feng, Niu, Sugiyama and Huang, `Multi-Label Knowledge
    Distillation <https://arxiv.org/abs/2308.06453>`_, ICCV 2023; the
    temperature is that of ``KLDivergence``. It takes the place of MMRazor's
    ``KLDivergence`` for heads of several labels per image, such as
    ``MultiLabelLinearClsHead``. The softmax of ``KLDivergence`` sees only how
    the logits differ from one another: it is 0 between a teacher that finds
    all classes and a student that finds none.

    Half precision is raised to float32.

    Args:
        tau (float): Temperature, > 0. Defaults to 1.0.
        reduction (str): "batchmean", the sum over the classes and the mean
            over the images, as the task loss of multi-label heads has it;
            "sum", "mean" or "none". Defaults to "batchmean".
        loss_weight (float): Weight of the loss. Defaults to 1.0.
        teacher_detach (bool): Whether to detach the teacher's logits.
            Defaults to True.

    Raises:
        ValueError: If ``tau`` is not a positive number, or ``reduction`` none
            of these.

    Examples:
        >>> import torch
        >>> from mmdskd.models import BinaryKLDivergence
        >>> all_there = torch.full((1, 4), 6.)
        >>> print(f'{BinaryKLDivergence()(-all_there, all_there):.2f}')
        23.88
    """

    #: What the arguments should be.
    VALUES: ClassVar[dict[str, Any]] = dict(
        tau=POSITIVE,
        reduction=Choice(REDUCTIONS),
        loss_weight=WEIGHT,
        teacher_detach=FLAG,
    )

    def __init__(
        self,
        tau: float = 1.0,
        reduction: str = 'batchmean',
        loss_weight: float = 1.0,
        teacher_detach: bool = True,
    ) -> None:
        super().__init__()
        check_values(
            'BinaryKLDivergence',
            self.VALUES,
            dict(
                tau=tau,
                reduction=reduction,
                loss_weight=loss_weight,
                teacher_detach=teacher_detach,
            ),
        )
        self.tau = tau
        self.reduction = reduction
        self.loss_weight = loss_weight
        self.teacher_detach = teacher_detach

    def forward(self, preds_S: Tensor, preds_T: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            preds_S (Tensor): Student logits, (N, K).
            preds_T (Tensor): Teacher logits, (N, K).

        Returns:
            Tensor: The loss, scalar, or (N, K) with ``reduction="none"``.

        Raises:
            ValueError: If they are not (N, K), both of one shape.
        """
        if preds_S.dim() != 2 or preds_S.shape != preds_T.shape:
            raise ValueError(
                'preds_S and preds_T of BinaryKLDivergence should be logits '
                f'(N, K), but got {tuple(preds_S.shape)} and '
                f'{tuple(preds_T.shape)}'
            )
        if self.teacher_detach:
            preds_T = preds_T.detach()
        dtype = torch.promote_types(preds_S.dtype, torch.float32)
        loss = binary_kl_divergence(
            preds_S.to(dtype), preds_T.to(dtype), self.tau
        )
        if self.reduction == 'batchmean':
            loss = loss.sum() / len(loss)
        elif self.reduction != 'none':
            loss = getattr(loss, self.reduction)()
        return self.loss_weight * loss
