from .checkpoint import CheckpointError, load_checkpoint_file
from .setup_env import register_all_modules

__all__ = ['CheckpointError', 'load_checkpoint_file', 'register_all_modules']
