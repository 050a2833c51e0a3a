from .batch_augments import (
    AugmentSequence,
    BaseBatchAugment,
    BatchRandomCrop,
    BatchRandomFlip,
)
from .data_preprocessor import AugmentingDataPreprocessor
from .feature_layout import FeatureLayout
from .normalization import Normalization
from .teacher_preprocessor import TeacherPreprocessor

__all__ = [
    'AugmentSequence',
    'AugmentingDataPreprocessor',
    'BaseBatchAugment',
    'BatchRandomCrop',
    'BatchRandomFlip',
    'FeatureLayout',
    'Normalization',
    'TeacherPreprocessor',
]
