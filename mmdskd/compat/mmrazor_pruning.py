"""What the pruning of MMRazor 1.0.0 needs on recent torch.

A patch gets the module that has just been imported.
"""

from functools import partial, wraps
from types import ModuleType
from typing import Any


def keep_gradients_defined(dmcp: ModuleType) -> None:
    """Let DMCP train under ``DMCPDDP`` on torch >= 2.

    It steps several times on parts of one network. ``zero_grad`` of torch 2
    removes the gradients, and DDP refuses those that are still missing after
    a part that does not reach them. Zeros, as before, are kept instead. (No
    issue of it is known.)

    Args:
        dmcp (ModuleType): Module of ``DMCPDDP``.
    """
    wrapper_class = dmcp.DMCPDDP
    step = wrapper_class.train_step
    if step.__module__ == __name__:
        return

    @wraps(step, assigned=('__doc__',))
    def train_step(self: Any, data: Any, optim_wrapper: Any) -> dict:
        for wrapper in optim_wrapper.values():
            optimizer = wrapper.optimizer
            if 'zero_grad' not in vars(optimizer):
                optimizer.zero_grad = partial(
                    optimizer.zero_grad, set_to_none=False
                )
        return step(self, data, optim_wrapper)

    wrapper_class.train_step = train_step
