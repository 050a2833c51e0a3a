"""Names and wrappers of the models that a runner holds."""

from typing import cast

from mmengine.model import is_model_wrapper
from torch import nn

#: What MMRazor's algorithms call their student in a ``state_dict``.
STUDENT_PREFIX = 'architecture.'


def unwrap_model(model: nn.Module) -> nn.Module:
    """Get the model itself, also in distributed training.

    Args:
        model (nn.Module): Model of a runner, such as ``runner.model``.

    Returns:
        nn.Module: The module that it wraps, or itself.
    """
    if is_model_wrapper(model):
        return cast(nn.Module, model.module)
    return model
