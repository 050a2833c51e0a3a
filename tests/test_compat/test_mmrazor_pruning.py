from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn

from mmdskd.compat import mmrazor_pruning as patches


class Wrapper:
    def train_step(self, data, optim_wrapper):
        for wrapper in optim_wrapper.values():
            wrapper.update_params(data)
        return dict(loss=data)


@pytest.fixture
def step():
    """The patched step of a class such as ``DMCPDDP``."""
    module = SimpleNamespace(DMCPDDP=type('DMCPDDP', (Wrapper,), {}))
    patches.keep_gradients_defined(module)
    before = module.DMCPDDP.train_step
    patches.keep_gradients_defined(module)
    assert module.DMCPDDP.train_step is before
    return module.DMCPDDP().train_step


def test_gradients_are_zeros_after_a_step(step):
    parameter = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([parameter], lr=0.5)
    wrappers = OptimWrapperDict(architecture=OptimWrapper(optimizer))
    # x - 0.5 * 2x = 0
    for _ in range(2):
        parameter.data.fill_(3)
        assert set(step((parameter**2).sum(), wrappers)) == {'loss'}
        assert parameter.tolist() == [0, 0]
        assert parameter.grad.tolist() == [0, 0]


def test_step_of_dmcp_is_patched():
    from mmrazor.models.algorithms import DMCPDDP

    assert DMCPDDP.train_step.__module__ == patches.__name__
