"""Names of configs that packages ship: ``package::folder/name.py``."""

import os.path as osp
from typing import Callable, Optional

from mmdskd.version import installed_version, satisfies

# Old names of MMPretrain
RENAMED = ('mmcls', 'mmclassification', 'mmselfsup')
EXAMPLE = 'mmpretrain::resnet/resnet18_8xb16_cifar10.py'
# Parts of the names of configs that MMPretrain has changed
RENAMED_PARTS = (('_pt-', '_'), ('_ft-', '_'), ('_v2-', 'v2-'))


class PackageNameError(FileNotFoundError):
    """The package of a config is not there."""


def find_config(path: str, mmpretrain: str) -> Optional[str]:
    """Find a config of mmcls among those of MMPretrain.

    Args:
        path (str): Path of the config in the package, with its suffix.
        mmpretrain (str): Folder of MMPretrain.

    Returns:
        str or None: Its path in MMPretrain, or None if there is none.
    """
    folder = osp.join(mmpretrain, '.mim', 'configs')
    for old, new in (('', ''), *RENAMED_PARTS):
        renamed = path.replace(old, new) if old else path
        if path and osp.isfile(osp.join(folder, renamed)):
            return renamed
    return None


def use_mmpretrain(name: str, get_installed_path: Callable[[str], str]) -> str:
    """Name the config of MMPretrain that a config of mmcls has become.

    Args:
        name (str): Name of a config, ``package::folder/name.py``, or path.
        get_installed_path (Callable): The folder of a module.

    Returns:
        str: ``mmpretrain::folder/name.py``, or ``name`` if it is of another
        package, or if MMPretrain does not have it.
    """
    package, _, path = name.partition('::')
    if package != 'mmcls':
        return name
    found = find_config(path, get_installed_path('mmpretrain'))
    return name if found is None else f'mmpretrain::{found}'


def check_package_name(
    name: str,
    known: dict[str, str],
    is_installed: Callable[[str], bool],
    get_installed_path: Callable[[str], str],
) -> None:
    """Check that the package of a config is there. None is installed.

    Args:
        name (str): ``package::folder/name.py``.
        known (dict[str, str]): The packages that MMEngine knows, and the
            names by which they are installed.
        is_installed (Callable): Whether a package is.
        get_installed_path (Callable): The folder of its module.

    Raises:
        PackageNameError: If there is no such package, or if it has another
            name today. The message says what to write.
    """
    package, _, path = name.partition('::')
    installed = package in known and is_installed(known[package])
    # mmcls 0.x needs mmcv 1. Only 1.0.0rc works beside MMRazor 1.0.0.
    if package in RENAMED and not (
        installed and satisfies(installed_version(package) or '0', '>=1.0')
    ):
        reason = f'{package} is mmpretrain today'
    elif package not in known:
        reason = 'there is no such package'
    elif not installed:
        reason = f'{known[package]} is not installed'
    else:
        return
    found = find_config(path, get_installed_path('mmpretrain'))
    if found is not None:
        advice = f'write "mmpretrain::{found}"'
    else:
        advice = f'write a config of MMPretrain, such as "{EXAMPLE}"'
    raise PackageNameError(
        'config should be "package::folder/name.py" of a package that ships '
        f'it, but {name!r} is not: {reason}. Nothing is installed: {advice}'
    )
