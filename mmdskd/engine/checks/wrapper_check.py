"""Check how a model is spread over processes."""

from mmengine.model import MMSeparateDistributedDataParallel, is_model_wrapper
from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

WHOLE = (
    DataParallel,
    DistributedDataParallel,
    MMSeparateDistributedDataParallel,
)


def check_wrapper(model: nn.Module) -> None:
    """Check that each process holds the whole model.

    Args:
        model (nn.Module): Model of a runner, such as ``runner.model``.

    Raises:
        TypeError: If it is spread over the processes, as by FSDP or
            DeepSpeed.
    """
    if is_model_wrapper(model) and not isinstance(model, WHOLE):
        raise TypeError(
            'The model should be whole in each process, as under '
            'MMDistributedDataParallel, but got '
            f'{type(model).__name__}. mmdskd serves no FSDP and no DeepSpeed: '
            'see "Several processes" in docs/performance.md. To try it '
            'without NonFiniteHook, set default_hooks.non_finite=None.'
        )
