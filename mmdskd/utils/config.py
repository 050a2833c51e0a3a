"""Read configs of runs and of components."""

import copy
import os
import os.path as osp
from typing import Any, Callable, Optional

from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import MODELS, Registry

from .config_errors import check_bases, explain_config_error
from .package_names import PackageNameError

# What a config writes for a shape that a dry run finds.
AUTO = 'auto'
CONFIG_SUFFIXES = ('.py', '.json', '.yaml', '.yml')


def load_config(config: str) -> Config:
    """Load a config from a file or from an installed package.

    Args:
        config (str): Path of a file, or ``package::path``, such as
            "mmpretrain::resnet/resnet18_8xb16_cifar10.py".

    Returns:
        Config: The config.

    Raises:
        FileNotFoundError: If there is no such file, or package, or if a
            ``_base_`` is missing.
        ValueError: If it can't be read. The file and the line are named.
    """
    if '::' in config:
        try:
            return get_config(config)
        except PackageNameError:
            raise
        # Of MMEngine, for another package, and for a path without a folder.
        except (AssertionError, OSError, ValueError) as error:
            raise FileNotFoundError(
                'config should be "package::folder/name.py" of a package '
                f'that ships it, but {config!r} is not: {error}'
            ) from error
    if not osp.isfile(config):
        raise FileNotFoundError(
            f'config should be a file or "package::path", but {config!r} is '
            + ('a folder' if osp.isdir(config) else 'neither')
            + f' (looked from {os.getcwd()}).'
        )
    if osp.splitext(config)[1] not in CONFIG_SUFFIXES:
        raise ValueError(
            f'config should be a file that ends with {CONFIG_SUFFIXES}, but '
            f'got {config!r}. The config and the checkpoint may have changed '
            'places'
        )
    check_bases(config)
    try:
        return Config.fromfile(config)
    except Exception as error:  # A config can raise anything.
        raise explain_config_error(error, config) from error


def type_name(config: Any, default: str = '') -> str:
    """Get the name of the class or function that a config builds.

    In a config it is a string, in a pure-Python one the object itself, and in
    a dump of such a string with the path of its module.

    Args:
        config (Any): Config of a component.
        default (str): What is built without a ``type``. Defaults to ''.

    Returns:
        str: Its name without package, such as "DSKDLoss", or ``default`` for
        what is not a config with a type.

    Examples:
        >>> from mmdskd.models import DSKDLoss
        >>> from mmdskd.utils.config import type_name
        >>> type_name(dict(type='mmdskd.DSKDLoss'))
        'DSKDLoss'
        >>> type_name(dict(type=DSKDLoss))
        'DSKDLoss'
    """
    kind = config.get('type') if isinstance(config, dict) else None
    if kind is None:
        return default
    return getattr(kind, '__name__', str(kind)).rpartition('.')[2]


def check_has(cfg: Config, name: str, *keys: str) -> None:
    """Check that a config has what a tool needs.

    Args:
        cfg (Config): The config.
        name (str): Its path.
        *keys: What it should have.

    Raises:
        ValueError: If it lacks one of them.
    """
    for key in keys:
        if not cfg.get(key):
            found = ', '.join(map(repr, cfg)) or 'nothing'
            raise ValueError(
                f'{name} should be a config with {key!r}, but it has {found}'
            )


def find_part(config: dict, *names: str) -> dict:
    """Find a dict in a config that may hold anything.

    Args:
        config (dict): The config.
        *names: Its key, or several of which the first is used that is there.

    Returns:
        dict: The part, or an empty dict if there is none.
    """
    found = (config.get(name) for name in names)
    return next((part for part in found if isinstance(part, dict)), {})


def is_named(config: Any, name: str) -> bool:
    """Whether a config names a component, which is not looked up.

    Args:
        config (Any): Config of a component.
        name (str): Package and name of the component, such as
            "mmdskd.InMemoryDataset".

    Returns:
        bool: Whether it does: by the bare name, by the package and the name,
        by the path of the module and the name, or by the object itself.
    """
    package, _, name = name.partition('.')
    if type_name(config) != name:
        return False
    kind = config['type']
    path = kind if isinstance(kind, str) else f'{kind.__module__}.{name}'
    return path == name or path.partition('.')[0] == package


def find_class(
    registry: Registry, config: dict, scope: str
) -> Optional[Callable]:
    """Find what ``config`` names when it is built in ``scope``.

    Args:
        registry (Registry): Registry of such classes.
        config (dict): Config of an object, with its ``type``.
        scope (str): The scope, unless ``config`` has one of its own.

    Returns:
        type, optional: The class, or the function that builds it, such as
        MMRazor's ``sub_model``, or None if there is none.
    """
    if not isinstance(config['type'], str):  # of a pure-Python config
        return config['type']
    with registry.switch_scope_and_registry(
        config.get('_scope_', scope)
    ) as registry:
        return registry.get(config['type'])


def is_type(cfg: Any, kind: type) -> bool:
    """Whether a config is of a class or a subclass of it.

    Args:
        cfg (dict): Config of a component of a distiller, with its ``type``.
        kind (type): The class.

    Returns:
        bool: Whether it is.
    """
    if not isinstance(cfg, dict) or 'type' not in cfg:
        return False
    # A distiller is built in the scope of MMRazor's algorithms.
    found = find_class(MODELS, cfg, 'mmrazor')
    return isinstance(found, type) and issubclass(found, kind)


def check_resolved(component: str, **arguments: Any) -> None:
    """Check that a component is not built with what is still to be found.

    Args:
        component (str): Name of the component.
        **arguments: Its arguments.

    Raises:
        ValueError: If one of them is "auto".
    """
    unresolved = [
        name
        for name, value in arguments.items()
        if isinstance(value, str) and value == AUTO
    ]
    if unresolved:
        raise ValueError(
            f'{component}: {", ".join(unresolved)} should be known when it is '
            f'built, but got {AUTO!r}. Shapes are found by a dry run on the '
            'config: call mmdskd.utils.resolve_auto(cfg) before '
            'Runner.from_cfg(cfg), as tools/train.py does'
        )


def add_import(custom_imports: Optional[dict]) -> dict:
    """Let a config import mmdskd, before all else.

    Args:
        custom_imports (dict, optional): What it imports.

    Returns:
        dict: The same with mmdskd, which goes first unless it is there.
    """
    merged = dict(
        dict(imports=[], allow_failed_imports=False), **custom_imports or {}
    )
    imports = merged['imports']
    imports = [imports] if isinstance(imports, str) else list(imports)
    if 'mmdskd' not in imports:
        imports.insert(0, 'mmdskd')
    merged['imports'] = imports
    return merged


def without_teacher_weights(cfg: Config) -> Config:
    """Let the teacher of a distillation be one of random weights.

    Args:
        cfg (Config): Config of a run. It is not changed.

    Returns:
        Config: Without the checkpoints of the teacher.
    """
    cfg = copy.deepcopy(cfg)
    if cfg.model.get('teacher_ckpt'):
        cfg.model.teacher_ckpt = None
    _drop_weights(cfg.model.get('teacher'))
    return cfg


def without_weights(model: dict) -> dict:
    """Let a network be built without the weights that it starts from.

    Args:
        model (dict): Its config. It is not changed.

    Returns:
        dict: Without ``init_cfg``, and with neither ``pretrained`` nor
        ``checkpoint_path``, which classes load when they are built.
    """
    model = copy.deepcopy(model)
    _drop_weights(model)
    return model


def _drop_weights(cfg: Any) -> None:
    """Take weights out of a config and of those within it."""
    if isinstance(cfg, dict):
        cfg.pop('init_cfg', None)
        if cfg.get('pretrained'):
            cfg['pretrained'] = False if cfg['pretrained'] is True else None
        if isinstance(cfg.get('checkpoint_path'), str):
            cfg['checkpoint_path'] = ''
        for value in cfg.values():
            _drop_weights(value)
    elif isinstance(cfg, (list, tuple)):
        for value in cfg:
            _drop_weights(value)


def format_config(cfg: Config) -> str:
    """Write a config as text.

    Args:
        cfg (Config): The config.

    Returns:
        str: Its ``pretty_text``.

    Raises:
        KeyboardInterrupt: If it is interrupted. MMEngine takes that, as all
            that the formatter raises, for wrong syntax.
    """
    try:
        return cfg.pretty_text
    except SyntaxError as error:
        cause = error.__context__
        if cause is None or isinstance(cause, Exception):
            raise
        raise cause from None
