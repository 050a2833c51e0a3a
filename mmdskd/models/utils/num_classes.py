"""The number of classes of a classifier."""

from typing import Optional

from torch import nn


def find_num_classes(network: Optional[nn.Module]) -> Optional[int]:
    """Find the number of classes of a classifier, as far as it tells.

    Args:
        network (nn.Module, optional): The classifier, of MMPretrain, timm or
            Hugging Face.

    Returns:
        int, optional: The number, or None if it is not known.
    """
    head = getattr(network, 'head', None)
    if head is not None:
        return getattr(head, 'num_classes', None)
    # In MMPretrain's TimmClassifier and HuggingFaceClassifier
    model = getattr(network, 'model', None)
    config = getattr(model, 'config', None)
    for number in (
        getattr(model, 'num_classes', None),
        getattr(config, 'num_labels', None),
    ):
        if isinstance(number, int) and number > 0:
            return number
    return None
