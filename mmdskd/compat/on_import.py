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
Condition = Callable[[], bool]

_patches: dict[str, list[Patch]] = defaultdict(list)
_error_handlers: dict[str, ErrorHandler] = {}
_without_assertions: dict[str, Condition] = {}


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
            if name in _without_assertions and _without_assertions[name]():
                _execute_without_assertions(self.loader, module)
            else:
                self.loader.exec_module(module)
            for patch in _patches.get(name, ()):
                patch(module)
        except Exception as error:
            if name in _error_handlers:
                _error_handlers[name](error)
            raise


def _execute_without_assertions(loader: Any, module: ModuleType) -> None:
    """Run a module, but not what it imports, as ``python -O`` does."""
    source = loader.get_source(module.__name__)
    if source is None:  # only compiled: nothing to leave out
        loader.exec_module(module)
        return
    path = getattr(module, '__file__', None) or module.__name__
    code = compile(source, path, 'exec', dont_inherit=True, optimize=1)
    exec(code, vars(module))


class _Finder(MetaPathFinder):
    """Find the modules to patch by the finders behind this one."""

    def find_spec(
        self,
        fullname: str,
        path: Optional[Sequence[str]],
        target: Optional[ModuleType] = None,
    ) -> Optional[ModuleSpec]:
        if not any(
            fullname in names
            for names in (_patches, _error_handlers, _without_assertions)
        ):
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


def import_without_assertions(name: str, condition: Condition) -> None:
    """Leave out the ``assert`` statements of a module when it is imported.

    Nothing else sees a difference: not what the module imports, nor other
    threads. A module of a kind that has no source is imported as it is.

    Args:
        name (str): Name of the module.
        condition (Callable): Whether to do so; called at each import.
    """
    _without_assertions[name] = condition


sys.meta_path.insert(0, _Finder())
