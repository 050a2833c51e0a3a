"""The student as it was trained, and what it makes of images."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.config import Config
from mmengine.structures import BaseDataElement
from mmrazor.registry import MODELS
from torch import Tensor, nn

from mmdskd.utils.config import without_weights
from mmdskd.utils.random_state import keep_random_state
from mmdskd.utils.state_dict import copy_tensors, find_tensors

MODES = ('tensor', 'predict')


def run_network(
    network: nn.Module, preprocessor: nn.Module, batch: Any
) -> list[Tensor]:
    """Run a network in eval mode. It is as before afterwards.

    Args:
        network (nn.Module): The network, such as a student.
        preprocessor (nn.Module): Its data preprocessor.
        batch (Any): Images as a data loader gives them.

    Returns:
        list[Tensor]: Its outputs of floating point, in float32.

    Raises:
        Exception: What the network raises for both of ``MODES``.
    """
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with keep_random_state(seed=0), torch.no_grad():
            for mode in MODES:
                data = preprocessor(copy.deepcopy(batch), False)
                try:
                    output = (
                        network(**data, mode=mode)
                        if isinstance(data, dict)
                        else network(*data, mode=mode)
                    )
                except Exception:
                    if mode == MODES[-1]:
                        raise
                    continue
                tensors = list(find_outputs(output))
                if tensors:
                    return tensors
        raise TypeError('it returns no tensors')
    finally:
        for module, training in modes:
            module.training = training


def find_outputs(output: Any) -> Iterator[Tensor]:
    """Find the tensors of floating point in an output.

    Args:
        output (Any): What a network has returned: a tensor, data samples, or
            lists and dicts of them.

    Yields:
        Tensor: The tensors, in float32.
    """
    if isinstance(output, Tensor):
        if output.is_floating_point():
            yield output.float()
    elif isinstance(output, (BaseDataElement, dict)):
        yield from find_outputs(list(output.values()))
    elif isinstance(output, (list, tuple)):
        for item in output:
            yield from find_outputs(item)


@contextmanager
def hold_weights(network: nn.Module, weights: dict) -> Iterator[None]:
    """Let a network of a run have other weights for a while.

    Args:
        network (nn.Module): The network.
        weights (dict): Weights by their places in it. Others stay.
    """
    tensors = find_tensors(network)
    kept = {
        name: tensor.detach().clone()
        for name, tensor in tensors.items()
        if name in weights
        and not torch.equal(tensor, weights[name].to(tensor.device))
    }
    try:
        copy_tensors(network, {name: weights[name] for name in kept})
        yield
    finally:
        copy_tensors(network, kept)


def build_trained(cfg: Config, weights: dict) -> tuple[nn.Module, nn.Module]:
    """Build the student of a run as its algorithm does.

    Args:
        cfg (Config): Config of the run.
        weights (dict): Weights of the student by their places in it.

    Returns:
        tuple[nn.Module, nn.Module]: The student, and the data preprocessor
        of its algorithm.
    """
    run = cfg.to_dict()
    algorithm = run['model']
    scope = algorithm.get('_scope_', run.get('default_scope') or 'mmengine')
    preprocessor = algorithm.get(
        'data_preprocessor', run.get('data_preprocessor')
    )
    with (
        keep_random_state(),
        MODELS.switch_scope_and_registry(scope) as registry,
    ):
        network = registry.build(without_weights(algorithm['architecture']))
        preprocessor = (
            network.data_preprocessor
            if preprocessor is None
            else registry.build(preprocessor)
        )
    copy_tensors(network, weights)
    return network, preprocessor
