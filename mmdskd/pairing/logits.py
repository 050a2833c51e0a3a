"""Find the module of a network that returns the logits."""

from typing import Optional

from mmdskd.utils.text import shorten

from .network_outline import NetworkOutline


def find_logits(
    outline: NetworkOutline, name: Optional[str], option: str
) -> str:
    """Find the module that returns the logits, or check the one given.

    Args:
        outline (NetworkOutline): The network.
        name (str, optional): Name of the module. None finds it.
        option (str): How it can be given, for the message.

    Returns:
        str: Its name.

    Raises:
        ValueError: If it is not clear, or the module does not return (N, K).
    """
    found = name or outline.logits
    if found is None or found not in outline.logits_like:
        raise ValueError(
            f'A module of {outline.name} should return the logits '
            f'(N, {outline.num_classes}), but '
            f'{"none does" if name is None else f"{name!r} does not"}: give '
            f'{option} NAME; modules that return this shape are '
            f'{shorten(outline.logits_like, 30)}'
        )
    return found
