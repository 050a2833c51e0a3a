from .multi_module_outputs_recorder import MultiModuleOutputsRecorder

__all__ = ['MultiModuleOutputsRecorder']
