"""Run a network once, and keep what its modules return."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmdskd.utils.image_size import advise_size

# More than one image, so that the axis of the batch is told from others.
BATCH_SIZE = 2


class RecordedForward(NamedTuple):
    """What one forward of a network has returned.

    Attributes:
        output (Any): What the network has returned.
        outputs (dict[str, Any]): What its modules have returned, by their
            names, in the order in which they have finished; None for one that
            has run more than once.
        changed (set[str]): Names of modules whose output was changed in place
            after they had returned it.
    """

    output: Any
    outputs: dict[str, Any]
    changed: set[str]


def record_forward(
    network: nn.Module, image_shape: tuple[int, int, int], name: str
) -> RecordedForward:
    """Run random images through a network, as an algorithm of MMRazor would.

    It runs in eval mode, without gradients and without in-place activations,
    and is left as it was. The global random numbers are not touched.

    Args:
        network (nn.Module): The network.
        image_shape (tuple[int, int, int]): Channels, height and width of an
            image.
        name (str): What messages call the network.

    Returns:
        RecordedForward: What it and its modules have returned.

    Raises:
        RuntimeError: If the network does not run on such images.
    """
    parameter = next(network.parameters(), torch.zeros(()))
    images = torch.rand(
        BATCH_SIZE, *image_shape, generator=torch.Generator().manual_seed(0)
    ).to(parameter)
    kwargs = {'mode': 'tensor'} if isinstance(network, BaseModel) else {}
    outputs: dict[str, Any] = {}
    versions: dict[str, list[int]] = {}

    def keep(module_name: str, returned: Any) -> None:
        again = module_name in outputs
        outputs[module_name] = None if again else returned
        versions[module_name] = [t._version for t in find_tensors(returned)]

    handles = [
        module.register_forward_hook(
            lambda module, inputs, returned, module_name=module_name: keep(
                module_name, returned
            )
        )
        for module_name, module in network.named_modules()
        if module_name
    ]
    try:
        with torch.no_grad(), _as_recorded(network):
            output = network(images, **kwargs)
    # Whatever it is that does not take such images.
    except Exception as error:
        raise RuntimeError(
            f'{name}, a {type(network).__name__}, does not run on images of '
            f'shape {image_shape} ({type(error).__name__}: {error}). '
            + (
                advise_size(network, image_shape[1:])
                or 'Is this the shape of its images?'
            )
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    changed = {
        module_name
        for module_name, returned in outputs.items()
        if returned is not None
        and [t._version for t in find_tensors(returned)]
        != versions[module_name]
    }
    return RecordedForward(output, outputs, changed)


def find_frozen(
    network: nn.Module, image_shape: tuple[int, int, int]
) -> set[str]:
    """Find the modules whose output no training changes.

    Those are the modules of frozen stages, as of ``frozen_stages`` of a
    backbone, and what runs before them.

    Args:
        network (nn.Module): The network.
        image_shape (tuple[int, int, int]): Channels, height and width of an
            image, on which it runs.

    Returns:
        set[str]: Names of the modules that run in a forward, and return
        nothing that depends on a parameter with a gradient.
    """
    parameters = list(network.parameters())
    flags = [parameter.requires_grad for parameter in parameters]
    frozen: set[str] = set()

    def look(name: str, returned: Any) -> None:
        tensors = find_tensors(returned)
        if tensors and not any(tensor.requires_grad for tensor in tensors):
            frozen.add(name)

    with torch.enable_grad(), _as_recorded(network):
        # Backbones freeze stages when they are set to training.
        network.train()
        network.eval()
        if all(parameter.requires_grad for parameter in parameters):
            return frozen
        images = torch.zeros(BATCH_SIZE, *image_shape).to(parameters[0])
        kwargs = {'mode': 'tensor'} if isinstance(network, BaseModel) else {}
        handles = [
            module.register_forward_hook(
                lambda module, inputs, returned, name=name: look(
                    name, returned
                )
            )
            for name, module in network.named_modules()
            if name
        ]
        try:
            network(images, **kwargs)
        finally:
            for handle in handles:
                handle.remove()
            for parameter, flag in zip(parameters, flags):
                parameter.requires_grad_(flag)
    return frozen


def find_tensors(outputs: Any) -> list[Tensor]:
    """List the tensors that a module returns.

    Args:
        outputs (Any): A tensor, or a tuple or list with tensors in it.

    Returns:
        list[Tensor]: The tensors, none of those that are nested deeper.
    """
    items = outputs if isinstance(outputs, (tuple, list)) else [outputs]
    return [item for item in items if isinstance(item, Tensor)]


@contextmanager
def _as_recorded(network: nn.Module) -> Iterator[None]:
    """Put a network into eval mode, and in-place activations off, as the
    algorithms of MMRazor do, and back again."""
    training = {module: module.training for module in network.modules()}
    inplace: list[Any] = [
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
