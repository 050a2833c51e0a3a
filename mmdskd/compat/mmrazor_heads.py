"""What the heads of MMRazor 1.0.0 need to fit to networks of MMPretrain.

A patch gets the module that has just been imported.
"""

from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def get_auxiliary_loss(
    self: Any, cls_score: 'torch.Tensor', data_samples: list, **kwargs: Any
) -> dict:
    """Compute the loss of the auxiliary classifier.

    Args:
        cls_score (Tensor): Logits of the auxiliary classifier, (N, K).
        data_samples (list[DataSample]): N samples with a label, or, after
            mixup and the like, with a score of each class.
        **kwargs: Arguments of the loss.

    Returns:
        dict: ``loss``, and ``accuracy_top-k`` (percent) for each ``k`` of
        ``topk`` if ``cal_acc``.
    """
    import torch
    from mmpretrain.evaluation import Accuracy

    if 'gt_score' in data_samples[0]:
        target = torch.stack([sample.gt_score for sample in data_samples])
    else:
        target = torch.cat([sample.gt_label for sample in data_samples])
    losses = dict(
        loss=self.aux_loss_module(
            cls_score, target, avg_factor=len(cls_score), **kwargs
        )
    )
    if self.cal_acc:
        if target.dim() != 1:
            raise ValueError(
                'cal_acc should be False where labels are mixed, but got True'
            )
        accuracies = Accuracy.calculate(cls_score, target, topk=self.topk)
        for k, (accuracy,) in zip(self.topk, accuracies):
            losses[f'accuracy_top-{k}'] = accuracy
    return losses


def read_labels_of_mmpretrain(darts_subnet_head: ModuleType) -> None:
    """Let the head of Darts read the labels of MMPretrain's samples.

    Those of mmcls kept ``label`` and ``score`` in ``gt_label``, those of
    MMPretrain ``gt_label`` and ``gt_score`` (mmrazor#546).

    Args:
        darts_subnet_head (ModuleType): Module of ``DartsSubnetClsHead``.
    """
    head_class = darts_subnet_head.DartsSubnetClsHead
    if head_class.__mro__[1].__module__.startswith('mmpretrain.'):
        head_class._get_aux_loss = get_auxiliary_loss


def get_tokens(
    self: Any, feats: tuple
) -> tuple['torch.Tensor', 'torch.Tensor']:
    """Get what the two classifiers of a distilled transformer take.

    Args:
        feats (tuple): For each stage, the tokens of class and distillation,
            (N, C) each, after the patches, where those are given.

    Returns:
        tuple[Tensor, Tensor]: Features of class and distillation, (N, D).
    """
    *_, cls_token, dist_token = feats[-1]
    if self.hidden_dim is None:
        return cls_token, dist_token
    layers = self.layers
    return (
        layers.act(layers.pre_logits(cls_token)),
        layers.act(layers.pre_logits(dist_token)),
    )


def read_tokens_of_mmpretrain(deit_head: ModuleType) -> None:
    """Let the head of DeiT take the tokens of MMPretrain's transformer.

    That of mmcls gave the patches before the two tokens (mmrazor#546).

    Args:
        deit_head (ModuleType): Module of MMRazor's ``DeiTClsHead``.
    """
    head_class = deit_head.DeiTClsHead
    if head_class.__mro__[1].__module__.startswith('mmpretrain.'):
        head_class.pre_logits = get_tokens
