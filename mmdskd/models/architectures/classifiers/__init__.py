from .multi_exit_classifier import MultiExitClassifier
from .torchvision_classifier import TorchvisionClassifier

__all__ = ['MultiExitClassifier', 'TorchvisionClassifier']
