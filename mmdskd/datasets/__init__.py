from .cifar import CIFAR10, CIFAR100
from .digits import Digits
from .tiny_imagenet import TinyImageNet

__all__ = ['CIFAR10', 'CIFAR100', 'Digits', 'TinyImageNet']
