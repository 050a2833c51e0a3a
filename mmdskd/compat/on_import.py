"""Run functions when a module is imported."""

import ast
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
Rewriter = Callable[[str], Optional[ast.Module]]

_patches: dict[str, list[Patch]] = defaultdict(list)
_error_handlers: dict[str, ErrorHandler] = {}
_without_assertions: dict[str, Condition] = {}
_rewriters: dict[str, Rewriter] = {}


def _get_rewriter(name: str) -> Optional[Rewriter]:
    """Get what rewrites the source of a module, by its package."""
    return _rewriters.get(name.partition('.')[0])


class _Loader(Loader):
    """Import a module by its own loader or rewritten, then patch it.

    Args:
        loader (Loader): The loader of the module.
    """

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def __getattr__(self, name: str) -> Any:
        """Such as ``get_data``, which ``pkgutil`` asks the loader for."""
        if name == 'loader':  # of a copy that is not filled yet
            raise AttributeError(name)
        return getattr(self.loader, name)

    def create_module(self, spec: ModuleSpec) -> Optional[ModuleType]:
        # The loader of zip files of Python 3.9 has no such method.
        create = getattr(self.loader, 'create_module', None)
        return create(spec) if create else None

    def exec_module(self, module: ModuleType) -> None:
        name, spec = module.__name__, module.__spec__
        assert spec is not None
        # Whoever asks the module for its source finds its own loader.
        spec.loader = module.__loader__ = self.loader
        try:
            self.execute(module)
            for patch in _patches.get(name, ()):
                patch(module)
        except Exception as error:
            if name in _error_handlers:
                _error_handlers[name](error)
            raise

    def execute(self, module: ModuleType) -> None:
        """Run the code of a module, another one if that is asked for."""
        name = module.__name__
        rewrite = _get_rewriter(name)
        is_asserting = not (
            name in _without_assertions and _without_assertions[name]()
        )
        get_source = getattr(self.loader, 'get_source', None)
        is_changed = rewrite is not None or not is_asserting
        # None if it is only compiled: then it stays as it is
        source = get_source(name) if is_changed and get_source else None
        tree = rewrite(source) if rewrite and source else None
        if not source or (tree is None and is_asserting):
            if hasattr(self.loader, 'exec_module'):
                self.loader.exec_module(module)
            else:  # as above
                exec(self.loader.get_code(name), vars(module))
            return
        code = compile(
            source if tree is None else tree,
            getattr(module, '__file__', None) or f'<{name}>',
            'exec',
            dont_inherit=True,
            optimize=-1 if is_asserting else 1,
        )
        exec(code, vars(module))


class _Finder(MetaPathFinder):
    """Find the modules to patch by the finders behind this one."""

    def find_spec(
        self,
        fullname: str,
        path: Optional[Sequence[str]],
        target: Optional[ModuleType] = None,
    ) -> Optional[ModuleSpec]:
        if _get_rewriter(fullname) is None and not any(
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


def rewrite_when_imported(package: str, rewrite: Rewriter) -> None:
    """Let the modules of a package run another source than their own.

    Their files stay as they are, and tracebacks show them. Modules that are
    imported already stay, too.

    Args:
        package (str): Name of a package that is in no other.
        rewrite (Callable): Gets the source of a module, and returns the tree
            to run in its place, with line numbers, or None if the module
            shall run as it is.
    """
    _rewriters[package] = rewrite


sys.meta_path.insert(0, _Finder())
