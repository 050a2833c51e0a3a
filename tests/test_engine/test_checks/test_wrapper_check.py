import pytest
from mmengine.registry import MODEL_WRAPPERS
from torch import nn
from torch.nn.parallel import DataParallel

from mmdskd.engine.checks.wrapper_check import check_wrapper


@MODEL_WRAPPERS.register_module()
class ShardedForTest(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module


def test_whole_models():
    model = nn.Linear(2, 2)
    check_wrapper(model)
    check_wrapper(DataParallel(model))


def test_sharded_model():
    with pytest.raises(TypeError) as raised:
        check_wrapper(ShardedForTest(nn.Linear(2, 2)))
    assert str(raised.value) == (
        'The model should be whole in each process, as under '
        'MMDistributedDataParallel, but got ShardedForTest. mmdskd serves no '
        'FSDP and no DeepSpeed: see "Several processes" in '
        'docs/performance.md. To try it without NonFiniteHook, set '
        'default_hooks.non_finite=None.'
    )
