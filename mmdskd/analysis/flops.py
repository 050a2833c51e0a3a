"""FLOPs of networks, and of parts of them."""

from typing import Any

from mmengine.analysis import FlopAnalyzer
from torch import Tensor, nn


def count_flops(module: nn.Module, x: Tensor) -> int:
    """Count the FLOPs of a module for one input.

    Args:
        module (nn.Module): The module.
        x (Tensor): The input.

    Returns:
        int: The FLOPs as MMEngine counts them: a multiply-add is one, and
        normalisation counts, too.
    """
    analyzer = FlopAnalyzer(module, (x,))
    analyzer.unsupported_ops_warnings(False)
    analyzer.uncalled_modules_warnings(False)
    return int(analyzer.total())


def count_flops_until(module: nn.Module, source: str, x: Tensor) -> int:
    """Count the FLOPs of a module until one of its parts has finished.

    Args:
        module (nn.Module): The module.
        source (str): Name of the part, as in ``module.named_modules()``.
        x (Tensor): The input.

    Returns:
        int: The FLOPs of all that has been computed then, inside of ``source``
        and before it, as :func:`count_flops` counts them.

    Raises:
        RuntimeError: If ``source`` does not run.
    """
    return count_flops(_Until(module, source), x)


class _Until(nn.Module):
    """Run a module until one of its parts has finished, so that nothing else
    is traced.

    Sums over finished modules would miss what a module that has not finished
    has computed by itself.
    """

    def __init__(self, module: nn.Module, source: str) -> None:
        super().__init__()
        # In a list, as no child: an exception that leaves a child upsets the
        # analyzer. The tracer has to know the parameters nevertheless.
        self._hidden = [module]
        self._parameters_of_hidden = nn.ParameterList(module.parameters())
        self.source = source

    def forward(self, x: Tensor) -> Any:
        """Return the output of the part."""

        def stop(module: nn.Module, args: tuple, output: Any) -> None:
            raise _Finished(output)

        [module] = self._hidden
        handle = module.get_submodule(self.source).register_forward_hook(stop)
        try:
            module(x)
        except _Finished as finished:
            return finished.args[0]
        finally:
            handle.remove()
        raise RuntimeError(
            f'{self.source!r} should run in the forward of '
            f'{type(module).__name__}, but did not'
        )


class _Finished(Exception):
    """The part has finished; holds its output."""
