"""Check what the recorders of a distiller observe."""

from collections.abc import Mapping
from typing import Any

from .spelling import did_you_mean

# Recorders of MMRazor that observe one module by its name.
OF_MODULES = ('ModuleOutputsRecorder', 'ModuleInputsRecorder')


def check_sources(recorders: Mapping[str, Any], model: Any, key: str) -> None:
    """Check that recorders name modules of a model.

    Args:
        recorders (Mapping[str, BaseRecorder]): The recorders by name.
        model (nn.Module): The model that they observe.
        key (str): Their key in the config.

    Raises:
        ValueError: If a source is not a module of the model.
    """
    # The model itself has the name "".
    modules = [name for name, _ in model.named_modules()]
    for name, recorder in recorders.items():
        source = recorder.source
        if type(recorder).__name__ in OF_MODULES and source not in modules:
            top = ', '.join(child for child, _ in model.named_children())
            raise ValueError(
                f'{key}.{name}.source should be the name of a module of '
                f'{type(model).__name__} (in {top}), but got {source!r}'
                f'{did_you_mean(source, modules)}'
            )
