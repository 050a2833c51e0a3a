"""What all rooms stand on: files, checkpoints, configs, text."""

from importlib import import_module
from typing import Any

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

# Public here since 0.1, but at home on a floor above this one.
_ELSEWHERE = {
    'BranchPlan': 'mmdskd.pairing',
    'infer_branches': 'mmdskd.pairing',
    'resolve_auto': 'mmdskd.pairing',
}


def __getattr__(name: str) -> Any:
    if name in _ELSEWHERE:
        return getattr(import_module(_ELSEWHERE[name]), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
