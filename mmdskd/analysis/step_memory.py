"""Peak memory of a training step."""

from itertools import chain

from torch import Tensor, nn

from .measure import measure_allocations
from .plain_loop import Loop

MEGABYTE = 2**20
# After the first step the optimizer has its state, and a compiled network is
# compiled.
STEPS_BEFORE_MEMORY = 2


def find_tensors(networks: list[nn.Module]) -> dict[int, Tensor]:
    """Find parameters and buffers, those in common once.

    Args:
        networks (list[nn.Module]): The networks.

    Returns:
        dict[int, Tensor]: The tensors by their addresses.
    """
    return {
        tensor.data_ptr(): tensor.detach()
        for network in networks
        for tensor in chain(network.parameters(), network.buffers())
    }


def measure_memory(loop: Loop) -> float:
    """Measure the peak memory of a loop that has run no step yet.

    Args:
        loop (Loop): The loop.

    Returns:
        float: Megabytes: parameters and buffers, what the first steps leave
        (state of the optimizer, gradients, recorded tensors), and the most
        that the step after them holds beyond that.
    """

    def run_first_steps() -> None:
        for _ in range(STEPS_BEFORE_MEMORY):
            loop.step()

    tensors = find_tensors(loop.networks)
    held = measure_allocations(run_first_steps).kept
    # Without those that a step has put others in place of, such as folded
    # weights. They are still alive here, so that no address comes twice.
    held += sum(
        tensors[address].numel() * tensors[address].element_size()
        for address in find_tensors(loop.networks)
        if address in tensors
    )
    del tensors
    return (held + measure_allocations(loop.step).peak) / MEGABYTE
