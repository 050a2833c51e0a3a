from .branch_weights import BranchWeights
from .dskd_loss import DSKDLoss
from .loss_schedule import LossSchedule

__all__ = ['BranchWeights', 'DSKDLoss', 'LossSchedule']
