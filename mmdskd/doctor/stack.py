"""The installed packages, and how those of OpenMMLab and OneDL are named."""

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, Optional

OPENCV = (
    'opencv-python',
    'opencv-python-headless',
    'opencv-contrib-python',
    'opencv-contrib-python-headless',
)
# The modules that OpenMMLab and OneDL both ship, and the names by which they
# are installed. OneDL also builds its MMCV for a CUDA and a torch each.
MODULES = {
    'mmengine': re.compile(r'(onedl-mmengine|mmengine|mmengine-lite)'),
    'mmpretrain': re.compile(r'(onedl-mmpretrain|mmpretrain)'),
    'mmcv': re.compile(r'(onedl-mmcv|onedl-mmcv-c.+|mmcv(-lite|-full)?)'),
}
# What each line installs
OPENMMLAB = dict(
    mmengine='mmengine', mmpretrain='mmpretrain', mmcv='mmcv-lite'
)
ONEDL = {module: f'onedl-{module}' for module in MODULES}


class Finding(NamedTuple):
    """One thing that is wrong with the installed packages.

    Attributes:
        level (str): 'error' if mmdskd cannot work or the version is not
            supported, else 'warning'.
        message (str): What is wrong.
        command (str): The command that mends it.
    """

    level: str
    message: str
    command: str


def is_of_onedl(package: str) -> bool:
    """Whether a package is of OneDL, by its name on the index."""
    return package.startswith('onedl-')


def install(package: str, specifier: Optional[str] = None) -> str:
    """Write the command that installs a package."""
    if specifier is None or specifier.startswith('=='):
        return f'pip install {package}{specifier or ""}'
    return f'pip install "{package}{specifier}"'


@dataclass(frozen=True)
class Stack:
    """What is installed.

    Attributes:
        versions (Mapping): Version by the name of the package, which is in
            small letters with '-' between words.
        requirements (Iterable): What ``torchvision`` requires, if it is there:
            lines as in its metadata.
        modules (Mapping): The version of each module that can be imported, as
            its file ``version.py`` says, or '' if that does not say it.
        python (tuple[int, ...]): Version of Python.
        has_uv (bool): Whether uv made this environment, without pip.
    """

    versions: Mapping[str, str]
    requirements: Iterable[str] = ()
    modules: Mapping[str, str] = field(default_factory=dict)
    python: tuple[int, ...] = sys.version_info[:3]
    has_uv: bool = False

    @classmethod
    def read(cls) -> 'Stack':
        """Read the metadata of what is installed for this Python."""
        versions: dict[str, str] = {}
        requirements: Iterable[str] = ()
        for distribution in metadata.distributions():
            about = distribution.metadata
            # A removal that was interrupted leaves an empty folder.
            if 'Name' not in about or 'Version' not in about:
                continue
            name = re.sub(r'[-_.]+', '-', about['Name']).lower()
            # The one OpenCV of conda-forge has the metadata of two packages.
            if name in OPENCV:
                installer = distribution.read_text('INSTALLER') or ''
                if installer.strip() == 'conda':
                    name = OPENCV[0]
            if name not in versions:
                versions[name] = about['Version']
                if name == 'torchvision':
                    requirements = distribution.requires or ()
        modules = {}
        for module in (*MODULES, 'torch', 'torchvision', 'cv2'):
            version = _read_version(module)
            if version is not None:
                modules[module] = version
        has_uv = 'pip' not in versions and _is_of_uv(Path(sys.prefix))
        return cls(versions, requirements, modules, has_uv=has_uv)

    def version(self, package: str) -> Optional[str]:
        """Get the version of a package, None if it is not installed."""
        return self.versions.get(package)

    def installed(self, module: str) -> list[str]:
        """Get the packages that brought a module, of ``MODULES``."""
        return sorted(filter(MODULES[module].fullmatch, self.versions))

    @property
    def opencv(self) -> list[str]:
        """The packages of OpenCV that are installed."""
        return [name for name in OPENCV if name in self.versions]

    @property
    def is_onedl(self) -> bool:
        """Whether this is an environment of OneDL.

        MMEngine decides if it is there once, as the MMCV of each line
        requires the MMEngine of that line, then the others. Where both lines
        of all are there, the files decide.
        """
        doubled = []
        for module in MODULES:
            packages = self.installed(module)
            lines = {is_of_onedl(package) for package in packages}
            if len(lines) == 1:
                return lines == {True}
            if lines:
                doubled.append((module, packages))
        for module, packages in doubled:
            for package in packages:
                if self.versions[package] == self.modules.get(module):
                    return is_of_onedl(package)
        return bool(doubled)

    @property
    def line(self) -> Mapping[str, str]:
        """The name on the index of each module, for this environment."""
        return ONEDL if self.is_onedl else OPENMMLAB


def _is_of_uv(environment: Path) -> bool:
    """Whether ``uv venv`` made an environment."""
    path = environment / 'pyvenv.cfg'
    return path.is_file() and bool(re.search('^uv = ', path.read_text(), re.M))


def _read_version(module: str) -> Optional[str]:
    """Read the version of a module without importing it.

    Returns:
        str, optional: The version, '' if it does not say it, None if there
        is no such module.
    """
    try:
        spec = find_spec(module)
        # A folder of that name is no package.
        if spec is None or spec.origin is None:
            return None
        path = Path(spec.origin).with_name('version.py')
        text = path.read_text(errors='replace') if path.is_file() else ''
    except (OSError, ValueError):  # not readable, or a stand-in
        return None
    found = re.search(r'^__version__ = [\'"]([^\'"]+)', text, re.M)
    return found[1] if found else ''
