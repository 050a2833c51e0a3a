"""The number of classes of a classifier."""

import re
from collections.abc import Sequence
from typing import Optional

from torch import nn


def find_num_classes(network: Optional[nn.Module]) -> Optional[int]:
    """Find the number of classes of a classifier, as far as it tells.

    Args:
        network (nn.Module, optional): The classifier, of MMPretrain, timm,
            torchvision or Hugging Face.

    Returns:
        int, optional: The number, or None if it is not known.
    """
    head = getattr(network, 'head', None)
    # In MMPretrain's TimmClassifier and HuggingFaceClassifier
    model = getattr(network, 'model', None)
    config = getattr(model, 'config', None)
    for number in (
        getattr(head, 'num_classes', None),
        getattr(network, 'num_classes', None),  # TorchvisionClassifier
        getattr(model, 'num_classes', None),
        getattr(config, 'num_labels', None),
    ):
        if isinstance(number, int) and number > 0:
            return number
    return None


def advise_other_classes(num_classes: Optional[int] = None) -> str:
    """Say what to do with a teacher of other classes than the student's.

    Args:
        num_classes (int, optional): Number of classes of the student.
            Defaults to None, if it is not known.

    Returns:
        str: What to do, without a full stop.
    """
    number = '...' if num_classes is None else num_classes
    return (
        'Fine-tune the teacher on the data of the student first: '
        f'head.num_classes={number} and '
        "backbone.init_cfg=dict(type='Pretrained', checkpoint='...', "
        "prefix='backbone.') in its own config (of a TimmClassifier and the "
        f'like, num_classes={number} and pretrained=True), by tools/train.py. '
        'Or let its features alone '
        'teach: no loss_kd, logit_loss=None, '
        'num_classes=None of the connector. See docs/pairs.md, "A teacher of '
        'other classes"'
    )


def find_mismatched_classes(
    mismatched: Sequence[str],
) -> Optional[tuple[int, int]]:
    """Find the numbers of classes of a checkpoint and a network.

    Args:
        mismatched (Sequence[str]): What torch says of tensors of other
            shapes.

    Returns:
        tuple[int, int], optional: Those of the checkpoint and of the network,
        or None if more differs than the number of outputs of the last layer.
    """
    numbers = set()
    for line in mismatched:
        shapes = re.findall(r'\[([\d, ]+)\]', line)
        if len(shapes) != 2:
            return None
        (theirs, *rest), (ours, *other) = (
            map(int, shape.split(',')) for shape in shapes
        )
        if rest != other or 'backbone.' in line:
            return None
        numbers.add((theirs, ours))
    return numbers.pop() if len(numbers) == 1 else None
