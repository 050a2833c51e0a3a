from .batch_augments import (
    AugmentSequence,
    BaseBatchAugment,
    BatchRandomCrop,
    BatchRandomFlip,
)
from .data_preprocessor import AugmentingDataPreprocessor
from .feature_layout import FeatureLayout

__all__ = [
    'AugmentSequence',
    'AugmentingDataPreprocessor',
    'BaseBatchAugment',
    'BatchRandomCrop',
    'BatchRandomFlip',
    'FeatureLayout',
]
