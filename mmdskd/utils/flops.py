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
    analyzer = FlopAnalyzer(module, (x, ))
    analyzer.unsupported_ops_warnings(False)
    analyzer.uncalled_modules_warnings(False)
    return int(analyzer.total())
