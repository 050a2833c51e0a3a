"""Check the weights that the student starts from."""

from collections.abc import Iterator
from typing import Any

from mmengine.runner import Runner
from torch import nn

from mmdskd.utils.model import unwrap_model
from mmdskd.utils.own_weights import is_pretrained
from mmdskd.utils.pretrained import find_left
from mmdskd.utils.text import shorten


def check_pretrained(runner: Runner) -> None:
    """Check that each ``init_cfg`` of type ``Pretrained`` loads weights.

    MMEngine loads what has the same name and shape, and mentions the rest in
    one line among many. A wrong ``prefix`` then trains from scratch.

    Args:
        runner (Runner): The runner, whose model is not initialised yet. It is
            warned of tensors that stay as they are initialised.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If the file holds not one tensor of the module.
    """
    for path, module, init in _find_inits(unwrap_model(runner.model)):
        left, number = find_left(path, module, init)
        if left:
            runner.logger.warning(
                f'{path}.init_cfg loads {number - len(left)} of {number} '
                f'tensors of {path} from {init["checkpoint"]}; as they are '
                f'initialised stay {shorten(left)}. This is meant for a head '
                'of other classes, and for nothing else.'
            )


def _find_inits(
    module: nn.Module, path: str = 'model'
) -> Iterator[tuple[str, nn.Module, dict]]:
    """Find the modules that load weights, with the paths of their configs."""
    if getattr(module, '_is_init', False):  # such as a teacher that is loaded
        return
    inits: Any = getattr(module, 'init_cfg', None) or ()
    for init in [inits] if isinstance(inits, dict) else inits:
        if is_pretrained(init):
            yield path, module, dict(init)
    for name, child in module.named_children():
        yield from _find_inits(child, f'{path}.{name}')
