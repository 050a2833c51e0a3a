"""Run functions when a module is imported."""

import sys
from collections import defaultdict
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Callable, Optional

Patch = Callable[[ModuleType], object]
ErrorHandler = Callable[[Exception], object]

_patches: dict[str, list[Patch]] = defaultdict(list)
_error_handlers: dict[str, ErrorHandler] = {}


class _Loader(Loader):
    """Import a module by its own loader, then patch it.

    Args:
        loader (Loader): The loader of the module.
    """

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def __getattr__(self, name: str) -> Any:
        """Such as ``get_data``, which ``pkgutil`` asks the loader for."""
        if name == 'loader':  # of a copy that is not filled yet
            raise AttributeError(name)
        return getattr(self.loader, name)

    def create_module(self, spec: ModuleSpec) -> Optional[ModuleType]:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        name, spec = module.__name__, module.__spec__
        assert spec is not None
        # Whoever asks the module for its source finds its own loader.
        spec.loader = module.__loader__ = self.loader
        try:
            self.loader.exec_module(module)
            for patch in _patches.get(name, ()):
                patch(module)
        except Exception as error:
            if name in _error_handlers:
                _error_handlers[name](error)
            raise


class _Finder(MetaPathFinder):
    """Find the modules to patch by the finders behind this one."""

    def find_spec(
        self,
        fullname: str,
        path: Optional[Sequence[str]],
        target: Optional[ModuleType] = None,
    ) -> Optional[ModuleSpec]:
        if fullname not in _patches and fullname not in _error_handlers:
            return None
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                # A folder without `__init__.py` may have no loader.
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader)
                return spec
        return None


def when_imported(name: str, patch: Patch) -> None:
    """Call ``patch`` whenever a module has been imported.

    It is called before the import ends, in the thread that imports, and at
    once if the module is there already. What it raises ends the import.

    Args:
        name (str): Name of the module, such as 'mmengine.utils'.
        patch (Callable): Gets the module. It may be called again with a
            module that it has patched before.
    """
    if patch not in _patches[name]:
        _patches[name].append(patch)
    if sys.modules.get(name) is not None:
        # This waits if another thread is still importing it.
        patch(import_module(name))


def when_import_fails(name: str, handle: ErrorHandler) -> None:
    """Call ``handle`` with the error that ends the import of a module.

    Args:
        name (str): Name of the module.
        handle (Callable): Gets the error. It may raise another one;
            otherwise the error is raised as it is.
    """
    _error_handlers[name] = handle


sys.meta_path.insert(0, _Finder())
