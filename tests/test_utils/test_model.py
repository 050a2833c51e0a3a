from mmengine.model import MMDistributedDataParallel
from mmengine.registry import MODEL_WRAPPERS
from torch import nn

from mmdskd.utils.model import unwrap_model


def test_unwrap_model():
    model = nn.Linear(1, 1)
    assert unwrap_model(model) is model
    # `DistributedDataParallel` wants a process group.
    wrapper = MMDistributedDataParallel.__new__(MMDistributedDataParallel)
    nn.Module.__init__(wrapper)
    wrapper.module = model
    assert isinstance(wrapper, tuple(MODEL_WRAPPERS.module_dict.values()))
    assert unwrap_model(wrapper) is model
