"""The function that MMEngine calls to register all of a package."""

from importlib import import_module

from mmengine.registry import init_default_scope as set_default_scope


def register_all_modules(init_default_scope: bool = True) -> None:
    """Import all modules of mmdskd, so that they are registered.

    The registries do so by themselves at the first look-up. MMEngine calls
    this function by its name in ``get_model('mmdskd::...')``.

    Args:
        init_default_scope (bool): Whether to make ``mmdskd`` the default
            scope. Defaults to True.
    """
    for package in ('datasets', 'engine', 'models'):
        import_module(f'mmdskd.{package}')
    if init_default_scope:
        set_default_scope('mmdskd')
