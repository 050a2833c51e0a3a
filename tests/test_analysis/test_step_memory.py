"""Peak memory of training steps."""

import pytest
import torch
from torch import nn

from mmdskd.analysis.step_memory import MEGABYTE, find_tensors, measure_memory

needs_cpu = pytest.mark.skipif(
    torch.cuda.is_available(), reason='the account is that of the GPU'
)


def test_a_teacher_out_of_the_state_dict_counts(build, kd_config):
    stock, frozen = build(
        kd_config, (kd_config, {'model.type': 'mmdskd.FrozenTeacherDistill'})
    )
    assert frozen.networks == [
        frozen.runner.model,
        frozen.runner.model.teacher,
    ]
    sizes = [
        sum(
            tensor.numel()
            for tensor in find_tensors(loop.networks).values()
            if tensor.is_floating_point()
        )
        for loop in (stock, frozen)
    ]
    assert sizes[0] == sizes[1]


class Accumulating:
    """A loop whose first step replaces a weight and keeps a tensor."""

    def __init__(self):
        self.network = nn.Linear(500, 100, bias=False)
        # Shared, as by an averaged model: it counts once.
        self.networks = [self.network, nn.Sequential(self.network)]
        self.state = None

    def step(self):
        if self.state is None:
            self.state = torch.empty(1000)
            self.network.weight = nn.Parameter(torch.empty(500, 100))
        torch.empty(3000)


@needs_cpu
def test_memory_is_what_is_held_and_the_peak_of_a_step():
    expected = 4 * (500 * 100 + 1000 + 3000)
    memory = measure_memory(Accumulating())
    assert memory * MEGABYTE == expected


@needs_cpu
def test_memory_of_training(build, kd_config):
    """The features of twice the images need twice the memory, and what is
    held is weights, momenta and the gradients, or some of them."""
    loops = build(
        (kd_config, {'train_dataloader.batch_size': 20}),
        (kd_config, {'train_dataloader.batch_size': 40}),
        (kd_config, {'train_dataloader.batch_size': 60}),
        plain_loop=True,
    )
    plain, *memory = (MEGABYTE * measure_memory(loop) for loop in loops)
    assert memory[2] - memory[1] == pytest.approx(
        memory[1] - memory[0], rel=0.02
    )
    held = 2 * memory[0] - memory[1]
    bytes_of = {
        name: sum(4 * p.numel() for p in network.parameters())
        for name, network in (
            ('student', loops[0].student),
            ('teacher', loops[0].teacher),
        )
    }
    assert held > bytes_of['teacher'] + 2 * bytes_of['student']
    assert held < bytes_of['teacher'] + 4 * bytes_of['student']
    assert plain < 1.1 * memory[0]
