"""Tell heads of several labels per image from those of one."""

from typing import Any, Optional

from mmpretrain.models import MultiLabelClsHead
from torch import Tensor, nn


def is_multi_label(classifier: Optional[nn.Module]) -> bool:
    """Tell whether the classes of a classifier do not exclude one another.

    Args:
        classifier (nn.Module, optional): The classifier.

    Returns:
        bool: Whether its ``head`` is a ``MultiLabelClsHead`` of MMPretrain,
        such as ``MultiLabelLinearClsHead`` and ``CSRAClsHead``.
    """
    return isinstance(getattr(classifier, 'head', None), MultiLabelClsHead)


def make_multi_hot(sample: Any, num_classes: int) -> Tensor:
    """Get the labels of an image in the form of one number per class.

    Args:
        sample (DataSample): The image, with ``gt_label`` or ``gt_score``.
        num_classes (int): Number of classes K.

    Returns:
        Tensor: 1 for what is there and 0 for what is not, (K, ). Of a data
        set in the manner of VOC, -1 for what is there but difficult to see,
        which metrics leave out.
    """
    if 'gt_score' in sample:
        labels = sample.gt_score.clone().float().cpu()
    else:
        labels = sample.gt_label.new_zeros(num_classes).float().cpu()
        labels[sample.gt_label.cpu()] = 1
    for index in sample.get('gt_label_difficult') or ():
        if labels[index] == 0:
            labels[index] = -1
    return labels
