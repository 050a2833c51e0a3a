from .binary_kl_divergence import BinaryKLDivergence
from .branch_weights import BranchWeights
from .dskd_loss import DSKDLoss
from .loss_schedule import LossSchedule
from .standardized_kl_divergence import StandardizedKLDivergence

__all__ = [
    'BinaryKLDivergence',
    'BranchWeights',
    'DSKDLoss',
    'LossSchedule',
    'StandardizedKLDivergence',
]
