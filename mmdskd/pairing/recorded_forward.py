from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

# More than one image, so that the axis of the batch is told from others.
BATCH_SIZE = 2


def _tensors(outputs: Any) -> list[Tensor]:
    items = outputs if isinstance(outputs, (tuple, list)) else [outputs]
    return [item for item in items if isinstance(item, Tensor)]


@contextmanager
def _as_recorded(network: nn.Module) -> Iterator[None]:
    """Put a network into eval mode, and in-place activations off, as the
    algorithms of MMRazor do, and back again."""
    training = {module: module.training for module in network.modules()}
    inplace = [
        module
        for module in network.modules()
        if getattr(module, 'inplace', False) is True
    ]
    try:
        network.eval()
        for module in inplace:
            module.inplace = False
        yield
    finally:
        for module, mode in training.items():
            module.training = mode
        for module in inplace:
            module.inplace = True
