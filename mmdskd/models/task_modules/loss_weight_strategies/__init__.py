from .base_strategy import BaseLossWeightStrategy
from .dwa_strategy import DWAStrategy
from .inverse_strategy import InverseStrategy
from .proportional_strategy import ProportionalStrategy
from .softmax_strategy import SoftmaxStrategy
from .uniform_strategy import UniformStrategy

__all__ = [
    'BaseLossWeightStrategy',
    'DWAStrategy',
    'InverseStrategy',
    'ProportionalStrategy',
    'SoftmaxStrategy',
    'UniformStrategy',
]
