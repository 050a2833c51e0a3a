"""Fold batch norms into the convolutions before them."""

from collections import Counter
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any, Callable, Optional

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.overrides import TorchFunctionMode

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
# What a tensor carries: name of the convolution that it comes from, and how
# often it had been changed in place then.
ORIGIN = '_mmdskd_convolution'


def find_foldable(
    model: nn.Module,
    run: Callable[[], list[Tensor]],
    recorded: Collection[str],
) -> dict[str, str]:
    """Find the batch norms that can be folded, by running the model once.

    The order in which modules are registered does not tell which follows
    which; the tensors do. A batch norm can be folded if its input is what a
    convolution has returned, nothing else takes that, both run once, and
    neither is recorded.

    Args:
        model (nn.Module): A model in eval mode.
        run (Callable): Runs the model and returns the tensors that were
            recorded in it.
        recorded (Collection[str]): Names of modules, or of parameters, that
            must stay as they are.

    Returns:
        dict[str, str]: Name of the convolution by name of its batch norm.
    """
    runs: Counter = Counter()
    pairs: list[tuple[str, str]] = []

    def after_convolution(name: str) -> Callable:

        def hook(module: nn.Module, inputs: tuple, output: Tensor) -> None:
            runs[name] += 1
            setattr(output, ORIGIN, (name, output._version))

        return hook

    def before_batch_norm(name: str) -> Callable:

        def hook(module: nn.Module, inputs: tuple) -> None:
            runs[name] += 1
            origin = _origin(inputs[0])
            if origin is not None:
                pairs.append((name, origin))

        return hook

    handles = []
    for name, module in model.named_modules():
        if isinstance(module, CONVOLUTIONS):
            handles.append(
                module.register_forward_hook(after_convolution(name))
            )
        elif (
            isinstance(module, _BatchNorm) and module.running_mean is not None
        ):
            handles.append(
                module.register_forward_pre_hook(before_batch_norm(name))
            )
    uses = _Uses()
    try:
        with uses:
            outputs = run()
    finally:
        for handle in handles:
            handle.remove()

    kept = {_origin(output) for output in outputs}
    kept.update(recorded)
    # A parameter is recorded by its full name.
    kept.update(name.rpartition('.')[0] for name in recorded)
    return {
        name: origin
        for name, origin in pairs
        if runs[name] == runs[origin] == uses.counts[origin] == 1
        and not kept & {name, origin}
    }


class _Uses(TorchFunctionMode):
    """Counts the operators that take the output of a convolution.

    Attributes:
        counts (Counter): Number by name of the convolution.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter = Counter()

    def __torch_function__(
        self,
        func: Callable,
        types: Sequence[type],
        args: Sequence = (),
        kwargs: Optional[dict] = None,
    ) -> Any:
        inputs = [*args, *(kwargs or {}).values()]
        for value in args:
            if isinstance(value, (list, tuple)):  # as of torch.cat
                inputs += value
        origins = [_origin(v) for v in inputs if isinstance(v, Tensor)]
        result = func(*args, **(kwargs or {}))
        # What returns no tensor, such as size(), does not use the values.
        results = result if isinstance(result, (list, tuple)) else [result]
        if any(isinstance(value, Tensor) for value in results):
            self.counts.update(origins)
        return result


def _origin(tensor: Tensor) -> Optional[str]:
    """Name the convolution whose output a tensor still is."""
    name, version = getattr(tensor, ORIGIN, (None, None))
    return name if version == tensor._version else None


def fold(model: nn.Module, pairs: dict[str, str]) -> Callable[[], None]:
    """Fold batch norms into convolutions, by
    :func:`torch.nn.utils.fusion.fuse_conv_bn_eval`.

    In the model the convolution gives way to the folded one and the batch
    norm to an identity, under the same names.

    Args:
        model (nn.Module): A model in eval mode.
        pairs (dict[str, str]): What :func:`find_foldable` returns.

    Returns:
        Callable: A function that undoes it.
    """
    modules: dict[str, nn.Module] = {}
    for bn_name, conv_name in pairs.items():
        conv: Any = model.get_submodule(conv_name)
        bn: Any = model.get_submodule(bn_name)
        modules[conv_name] = fuse_conv_bn_eval(conv, bn)
        modules[bn_name] = nn.Identity()
    before = {name: model.get_submodule(name) for name in modules}
    _set_modules(model, modules)
    return partial(_set_modules, model, before)


def _set_modules(model: nn.Module, modules: dict[str, nn.Module]) -> None:
    for name, module in modules.items():
        parent, _, child = name.rpartition('.')
        setattr(model.get_submodule(parent), child, module)
