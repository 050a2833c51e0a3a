"""The size of images that a network is built for."""

from collections.abc import Sequence
from typing import Optional

from torch import nn

# How transformers of timm, torchvision, transformers and MMPretrain call it.
ARGUMENTS = ('img_size', 'image_size')

Size = tuple[int, int]


def find_size_argument(network: nn.Module) -> Optional[tuple[str, Size]]:
    """Find the size of images that a network was built for.

    Args:
        network (nn.Module): The network.

    Returns:
        tuple[str, tuple[int, int]], optional: Name of the argument that sets
        it, and height and width; or None for networks that have no such
        attribute, as most CNNs.
    """
    for module in network.modules():
        for argument in ARGUMENTS:
            size = getattr(module, argument, None)
            if type(size) is int:
                size = (size, size)
            if (
                isinstance(size, (tuple, list))
                and len(size) == 2
                and all(type(edge) is int and edge > 0 for edge in size)
            ):
                return argument, (size[0], size[1])
    return None


def find_built_size(network: nn.Module) -> Optional[Size]:
    """Find the size of images that a network was built for.

    Args:
        network (nn.Module): The network.

    Returns:
        tuple[int, int], optional: Height and width, see
        :func:`find_size_argument`.
    """
    found = find_size_argument(network)
    return None if found is None else found[1]


def advise_size(network: nn.Module, size: Sequence[int]) -> str:
    """Say how to bring a network and images of another size together.

    Args:
        network (nn.Module): The network.
        size (Sequence[int]): Height and width of the images.

    Returns:
        str: The advice, or "" if the network was built for this size or for
        none.
    """
    found = find_size_argument(network)
    if found is None or found[1] == tuple(size):
        return ''
    argument, (height, width) = found
    value = size[0] if size[0] == size[1] else tuple(size)
    return (
        f'It is built for images of {height}x{width}: set {argument}={value} '
        f'beside its model_name or arch, or resize the images to '
        f'{height}x{width}'
    )
