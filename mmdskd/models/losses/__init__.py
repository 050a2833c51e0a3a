from .branch_weights import BranchWeights
from .dskd_loss import DSKDLoss

__all__ = ['BranchWeights', 'DSKDLoss']
