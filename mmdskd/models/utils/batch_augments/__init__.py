from .augment_sequence import AugmentSequence
from .base_batch_augment import BaseBatchAugment
from .random_crop import BatchRandomCrop
from .random_flip import BatchRandomFlip

__all__ = [
    'AugmentSequence',
    'BaseBatchAugment',
    'BatchRandomCrop',
    'BatchRandomFlip',
]
