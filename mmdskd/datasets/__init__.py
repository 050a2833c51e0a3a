from .cifar import CIFAR10, CIFAR100
from .collate_batch import collate_batch
from .digits import Digits
from .fashion_mnist import FashionMNIST
from .in_memory_dataset import InMemoryDataset
from .tiny_imagenet import TinyImageNet

__all__ = [
    'CIFAR10',
    'CIFAR100',
    'Digits',
    'FashionMNIST',
    'InMemoryDataset',
    'TinyImageNet',
    'collate_batch',
]
