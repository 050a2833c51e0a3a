"""Let MMRazor 1.0.0 use MMPretrain, as it knows it by its old name, ``mmcls``.

MMRazor imports what it needs from ``mmcls``, and puts placeholders that raise
where that fails, its configs inherit from ``mmcls::...``, and name components
``mmcls.X`` (mmrazor#546, #534). MMPretrain has all of it. So each place at
which MMRazor or its configs write the old name reads as if it were the new
one. Nothing is named ``mmcls`` in ``sys.modules``, so no other package meets
one that isn't there. Where mmcls 1.x is installed, nothing is changed. An
mmcls 0.x, which needs mmcv 1, counts as not installed, and is not imported.
"""

import ast
import functools
import re
from types import ModuleType
from typing import Any, Optional

from mmdskd.version import installed_version, satisfies

from .mmengine import get_installed_path

OLD, NEW = 'mmcls', 'mmpretrain'
# Classes that MMPretrain has renamed
RENAMED = {'ClsDataSample': 'DataSample', 'PackClsInputs': 'PackInputs'}
# Module of MMPretrain, its registry, and the old names of what it registers
OLD_TYPES = {
    'mmpretrain.datasets.transforms.formatting': (
        'TRANSFORMS',
        dict(
            PackClsInputs='PackInputs',
            ToNumpy='PILToNumpy',
            ToPIL='NumpyToPIL',
        ),
    ),
    'mmpretrain.visualization.visualizer': (
        'VISUALIZERS',
        dict(ClsVisualizer='UniversalVisualizer'),
    ),
}
# numpy 1.24 has removed `np.int`, which was `int` itself.
OLD_SOURCE = re.compile(rf'\bfrom {OLD}\b|\bnp\.int\b')


def has_mmcls() -> bool:
    """Whether an mmcls is installed that works beside MMRazor 1.0.0.

    That of 0.x needs mmcv 1. Only the metadata is read.
    """
    return satisfies(installed_version(OLD) or '0', '>=1.0')


class _Renamer(ast.NodeTransformer):
    """Write today's names for those that are gone.

    Args:
        has_mmcls (bool): Whether imports of mmcls shall stay.
    """

    def __init__(self, has_mmcls: bool) -> None:
        self.has_mmcls = has_mmcls

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        package, dot, path = (node.module or '').partition('.')
        if package == OLD and node.level == 0 and not self.has_mmcls:
            node.module = f'{NEW}{dot}{path}'
            for alias in node.names:
                if alias.name in RENAMED:
                    alias.asname = alias.asname or alias.name
                    alias.name = RENAMED[alias.name]
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if (
            isinstance(node.value, ast.Name)
            and node.value.id == 'np'
            and node.attr == 'int'
        ):
            return ast.copy_location(ast.Name(node.attr, node.ctx), node)
        return node


def rewrite_old_names(source: str) -> Optional[ast.Module]:
    """Let a module of MMRazor import from MMPretrain, and do without
    ``np.int``, which its metric predictor uses (no issue of it is known).

    Args:
        source (str): Source of the module.

    Returns:
        ast.Module or None: The module to run, or None if it names neither.
    """
    if OLD_SOURCE.search(source) is None:
        return None
    return _Renamer(has_mmcls()).visit(ast.parse(source))


def read_configs_from_mmpretrain(module: ModuleType) -> None:
    """Let ``mmcls::...`` name the config of MMPretrain, where it has it.

    All of MMRazor's configs for classification inherit from such.

    Args:
        module (ModuleType): ``mmengine.config.config`` or
            ``mmengine.hub.hub``.
    """

    def rename(function: Any) -> Any:
        if getattr(function, 'reads_from_mmpretrain', False):
            return function

        @functools.wraps(function)
        def read(cfg_path: str, *args: Any, **kwargs: Any) -> Any:
            if cfg_path.startswith(f'{OLD}::') and not has_mmcls():
                # Not before: it imports MMEngine, and that is on its way.
                from mmdskd.utils.package_names import use_mmpretrain

                cfg_path = use_mmpretrain(cfg_path, get_installed_path)
            return function(cfg_path, *args, **kwargs)

        read.reads_from_mmpretrain = True  # type: ignore[attr-defined]
        return read

    if hasattr(module, 'get_model'):
        for name in ('get_config', 'get_model'):
            setattr(module, name, rename(getattr(module, name)))
    else:
        config_class = module.Config
        path = rename(config_class._get_cfg_path)
        config_class._get_cfg_path = staticmethod(path)


def find_components_in_mmpretrain(registry: ModuleType) -> None:
    """Let ``mmcls.X`` and ``_scope_='mmcls'`` name components of MMPretrain.

    A registry of that scope that someone has made is left alone.

    Args:
        registry (ModuleType): ``mmengine.registry.registry``.
    """
    registry_class = registry.Registry
    get = registry_class.get
    if get.__module__ == __name__:
        return
    switch = registry_class.switch_scope_and_registry

    def is_gone(self: Any, scope: Optional[str]) -> bool:
        return (
            scope == OLD
            and self._get_root_registry()._search_child(OLD) is None
            and not has_mmcls()
        )

    @functools.wraps(get, assigned=('__doc__',))
    def get_component(self: Any, key: str) -> Optional[type]:
        if isinstance(key, str):
            scope, name = self.split_scope_key(key)
            if is_gone(self, scope):
                key = f'{NEW}.{name}'
        return get(self, key)

    @functools.wraps(switch, assigned=('__doc__',))
    def switch_scope(self: Any, scope: Optional[str]) -> Any:
        default = registry.DefaultScope.get_current_instance()
        current = default.scope_name if scope is None and default else scope
        return switch(self, NEW if is_gone(self, current) else scope)

    registry_class.get = get_component
    registry_class.switch_scope_and_registry = switch_scope


def register_old_types(module: ModuleType) -> None:
    """Let configs of mmcls name what MMPretrain has renamed.

    Args:
        module (ModuleType): One of ``OLD_TYPES``.
    """
    registry_name, names = OLD_TYPES[module.__name__]
    registry = getattr(module, registry_name)
    for old, new in names.items():
        if old not in registry.module_dict:
            registry.register_module(name=old, module=getattr(module, new))
