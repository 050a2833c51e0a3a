from .auto import resolve_auto
from .branch_plan import BranchPlan, infer_branches
from .checkpoint import CheckpointError, load_checkpoint_file
from .setup_env import register_all_modules

__all__ = [
    'BranchPlan',
    'CheckpointError',
    'infer_branches',
    'load_checkpoint_file',
    'register_all_modules',
    'resolve_auto',
]
