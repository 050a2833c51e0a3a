"""Any student with any teacher: where branches attach, and the config."""

from .auto import resolve_auto
from .branch_plan import BranchPlan, infer_branches

__all__ = ['BranchPlan', 'infer_branches', 'resolve_auto']
