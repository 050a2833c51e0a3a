from mmdskd.utils.feature_layout import FeatureLayout

from .batch_augments import (
    AugmentSequence,
    BaseBatchAugment,
    BatchRandomCrop,
    BatchRandomFlip,
)
from .data_preprocessor import AugmentingDataPreprocessor

__all__ = [
    'AugmentSequence',
    'AugmentingDataPreprocessor',
    'BaseBatchAugment',
    'BatchRandomCrop',
    'BatchRandomFlip',
    'FeatureLayout',
]
