from .loss_weight_scheduler_hook import LossWeightSchedulerHook
from .student_checkpoint_hook import StudentCheckpointHook

__all__ = ['LossWeightSchedulerHook', 'StudentCheckpointHook']
