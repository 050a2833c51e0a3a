"""The weights that the config of a network brings."""

from collections.abc import Iterator
from typing import Any, Optional

from mmdskd.export.plain_model import WEIGHT_ARGUMENTS
from mmdskd.utils.own_weights import is_pretrained


def find_weights(model: Any, path: str = 'model') -> Iterator[tuple[str, Any]]:
    """Find all weights that a config of a network starts from.

    Args:
        model (dict): Config of a network, or a part of it.
        path (str): Its path in the whole. Defaults to "model".

    Yields:
        tuple[str, Any]: The path of what names weights, such as
        "model.backbone.init_cfg", and the checkpoint, or True for those that
        a library knows.
    """
    if isinstance(model, (list, tuple)):
        for index, item in enumerate(model):
            yield from find_weights(item, f'{path}.{index}')
    if not isinstance(model, dict):
        return
    for key, value in model.items():
        if key in WEIGHT_ARGUMENTS and value:
            yield f'{path}.{key}', value
        elif key == 'init_cfg':
            for init in [value] if isinstance(value, dict) else value or ():
                if is_pretrained(init):
                    yield f'{path}.init_cfg', init['checkpoint']
        else:
            yield from find_weights(value, f'{path}.{key}')


def brings_all_weights(model: dict) -> bool:
    """Tell whether a config brings the weights of the whole network.

    Args:
        model (dict): Config of a network.

    Returns:
        bool: Whether it does, not those of its backbone alone.
    """
    return any(path.count('.') == 1 for path, _ in find_weights(model))


def find_checkpoint(model: dict) -> Optional[str]:
    """Find the file with the weights of the whole network in its config.

    Args:
        model (dict): Config of a network.

    Returns:
        str, optional: The checkpoint of which ``teacher_ckpt`` can load all
        weights, or None where only the network itself can load them.
    """
    inits = model.get('init_cfg') or ()
    for init in [inits] if isinstance(inits, dict) else inits:
        if is_pretrained(init) and init.get('prefix') is None:
            return init['checkpoint']
    pretrained = model.get('pretrained')
    return pretrained if isinstance(pretrained, str) else None


def describe_weights(model: dict) -> str:
    """Name the weights that a config of a network starts from.

    Args:
        model (dict): Config of a network.

    Returns:
        str: Such as "model.backbone.init_cfg (a.pth)", or "" for none.
    """
    return ', '.join(
        f'{path} ({value})' for path, value in find_weights(model)
    )
