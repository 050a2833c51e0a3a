from typing import Any


def type_name(config: Any, default: str = '') -> str:
    """Get the name of the class or function that a config builds.

    In a config it is a string, in a pure-Python one the object itself, and in
    a dump of such a string with the path of its module.

    Args:
        config (Any): Config of a component.
        default (str): What is built without a ``type``. Defaults to ''.

    Returns:
        str: Its name without package, such as "DSKDLoss", or ``default`` for
        what is not a config with a type.

    Examples:
        >>> from mmdskd.models import DSKDLoss
        >>> from mmdskd.utils.type_name import type_name
        >>> type_name(dict(type='mmdskd.DSKDLoss'))
        'DSKDLoss'
        >>> type_name(dict(type=DSKDLoss))
        'DSKDLoss'
    """
    kind = config.get('type') if isinstance(config, dict) else None
    if kind is None:
        return default
    return getattr(kind, '__name__', str(kind)).rpartition('.')[2]
