from .branch_evaluation_hook import BranchEvaluationHook
from .exact_resume_hook import ExactResumeHook
from .loaded_weights_hook import LoadedWeightsHook
from .loss_weight_scheduler_hook import LossWeightSchedulerHook
from .non_finite_hook import NonFiniteHook
from .run_check_hook import RunCheckHook
from .student_checkpoint_hook import StudentCheckpointHook
from .teacher_evaluation_hook import TeacherEvaluationHook

__all__ = [
    'BranchEvaluationHook',
    'ExactResumeHook',
    'LoadedWeightsHook',
    'LossWeightSchedulerHook',
    'NonFiniteHook',
    'RunCheckHook',
    'StudentCheckpointHook',
    'TeacherEvaluationHook',
]
