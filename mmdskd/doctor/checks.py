"""What may be wrong with the installed packages, one check each."""

import re
from collections.abc import Iterable, Iterator
from typing import Optional

from ..version import (
    MAX_PYTHON,
    MAX_TORCH,
    MIN_PYTHON,
    MIN_TORCH,
    release,
    satisfies,
)
from .stack import Finding, Stack, is_of_onedl

# What mmdskd needs beside the modules below: package, range (None: any)
REQUIRED = (('numpy', None), ('mmrazor', '==1.0.0'), ('joblib', None))
# Of the modules that OpenMMLab and OneDL both ship
RANGES = {
    'mmengine': '>=0.10,<1.0',
    'mmpretrain': '>=1.1',
    'mmcv': '>=2.0.0,<3',
}
# What is installed anew of OpenMMLab: what MMRazor asks for
MMCV_LITE = '>=2.0.0,<=2.1.0'
WHEELS = 'https://download.pytorch.org/whl'
# The builds there, such as of torch 2.14.1+cu130
BUILD = re.compile(r'\+(cpu|xpu|cu\d+|rocm[\d.]+)$')


def install(package: str, specifier: Optional[str] = None) -> str:
    """Write the command that installs a package."""
    if specifier is None or specifier.startswith('=='):
        return f'pip install {package}{specifier or ""}'
    return f'pip install "{package}{specifier}"'


def install_modules(modules: Iterable[str], stack: Stack) -> str:
    """Write the command that installs modules of the line in use."""
    wanted = ''
    for module in modules:
        package = stack.line[module]
        is_lite = package == 'mmcv-lite'
        wanted += f' "{package}{MMCV_LITE if is_lite else RANGES[module]}"'
    return f'pip install{wanted}'


def install_torchvision(stack: Stack) -> str:
    """Write the command that installs the torchvision of the torch."""
    torch = stack.versions['torch']
    major, minor, _ = release(torch)
    # 0.14 of torch 1.13, 0.15 of torch 2.0, and so on to 0.29 of torch 2.14;
    # that of torch 2.15 is 0.29, too. pip finds the one that fits.
    last = minor + 15 if major == 2 else minor + 1
    return (
        f'pip install torch=={torch} "torchvision>=0.{last - 1},<0.{last + 1}"'
        + _index(torch)
    )


def _index(version: str) -> str:
    """Write the option of pip for the builds that a version is of."""
    build = _build(version)
    return f' --index-url {WHEELS}/{build}' if build else ''


def _build(version: str) -> Optional[str]:
    """Get 'cpu' or 'cu130', None if the version does not say it."""
    match = BUILD.search(version)
    return match[1] if match else None


def check_required(stack: Stack) -> Iterator[Finding]:
    """Find packages that are missing or of a version that cannot work."""
    for package, specifier in REQUIRED:
        version = stack.version(package)
        command = install(package, specifier)
        if version is None:
            yield Finding('error', f'{package} is missing', command)
        elif specifier and not satisfies(version, specifier):
            message = f'{package} should be {specifier}, but got {version}'
            yield Finding('error', message, command)


def check_modules(stack: Stack) -> Iterator[Finding]:
    """Find modules of OpenMMLab or OneDL that are missing, too old or mixed.

    The packages of both lines have the same files, as have ``mmcv`` and
    ``mmcv-lite``. No command installs one line over the other.
    """
    missing = [
        module
        for module in RANGES
        # One that is no package may be a clone.
        if not stack.installed(module) and module not in stack.modules
    ]
    if missing:
        names = ' and '.join(stack.line[module] for module in missing)
        yield Finding(
            'error',
            f'{names} {"are" if len(missing) > 1 else "is"} missing',
            install_modules(missing, stack),
        )
    for module, specifier in RANGES.items():
        packages = stack.installed(module)
        command = install_modules([module], stack)
        if not packages:
            continue
        package, *others = packages
        if others:
            mixed = len({is_of_onedl(name) for name in packages}) > 1
            old = not all(
                satisfies(stack.versions[name], specifier) for name in packages
            )
            yield Finding(
                'error' if mixed or old else 'warning',
                f'{" and ".join(packages)} are installed together, and '
                "overwrite one another's files",
                f'pip uninstall -y {" ".join(packages)} && {command}',
            )
        elif not satisfies(stack.versions[package], specifier):
            yield Finding(
                'error',
                f'{package} should be {specifier}, but got '
                f'{stack.versions[package]}',
                _replace(module, package, command, stack),
            )


def _replace(module: str, package: str, command: str, stack: Stack) -> str:
    """Write the command that brings another version of a module."""
    if package == stack.line[module]:
        return command
    # By the same name, unless that is an MMCV which has to be compiled, or
    # requires the MMEngine of the other line.
    if module != 'mmcv':
        return install(package, RANGES[module])
    return f'pip uninstall -y {package} && {command}'


def check_opencv(stack: Stack) -> Iterator[Finding]:
    """Find a missing OpenCV, or two that overwrite one another."""
    installed = stack.opencv
    if not installed:
        yield Finding(
            'error', 'opencv-python is missing', install('opencv-python')
        )
    elif len(installed) > 1:
        names = ''.join(installed)
        contrib = '-contrib' if 'contrib' in names else ''
        headless = '-headless' if 'headless' in names else ''
        is_old = satisfies(stack.version('numpy') or '2', '<2')
        yield Finding(
            'warning',
            f'{" and ".join(installed)} are installed together, and '
            "overwrite one another's files",
            f'pip uninstall -y {" ".join(installed)} && '
            + install(
                f'opencv{contrib}-python{headless}',
                '<4.12' if is_old else None,
            ),
        )


def check_torch(stack: Stack) -> Iterator[Finding]:
    """Find a torch or torchvision that is missing or too old, or unknown."""
    torch = stack.version('torch')
    upgrade = 'pip install --upgrade torch torchvision'
    if torch is None:
        for package in ('torch', 'torchvision'):
            if package not in stack.versions:
                yield _missing(package, stack, upgrade)
    elif not satisfies(torch, f'>={MIN_TORCH}'):
        message = f'torch should be >={MIN_TORCH}, but got {torch}'
        yield Finding('error', message, upgrade)
    elif 'torchvision' not in stack.versions:
        yield _missing('torchvision', stack, install_torchvision(stack))


def _missing(package: str, stack: Stack, command: str) -> Finding:
    if package not in stack.modules:
        return Finding('error', f'{package} is missing', command)
    return Finding(
        'warning',
        f'{package} {stack.modules[package]} has no metadata, so whether it '
        'fits the others is not known',
        f'{command} --force-reinstall',
    )


def check_torchvision(stack: Stack) -> Iterator[Finding]:
    """Find a torchvision that was built for another torch."""
    torch = stack.version('torch')
    torchvision = stack.version('torchvision')
    if torch is None or torchvision is None:
        return
    if not satisfies(torch, f'>={MIN_TORCH}'):
        return
    needed = _torch_of_torchvision(stack)
    if needed and not satisfies(torch, needed):
        # There may be no torchvision yet for the newest torch.
        is_new = release(torch)[:2] > release(MAX_TORCH)[:2]
        yield Finding(
            'error',
            f'torchvision {torchvision} needs torch{needed}, but got {torch}',
            install('torch', needed) if is_new else install_torchvision(stack),
        )
        return
    build, other = _build(torch), _build(torchvision)
    if build and other and build != other:
        yield Finding(
            'error',
            f'torchvision {torchvision} should be of the same build as torch '
            f'{torch}',
            'pip install --force-reinstall --no-deps torchvision=='
            + torchvision.partition('+')[0]
            + _index(torch),
        )


def _torch_of_torchvision(stack: Stack) -> Optional[str]:
    """Get the range of torch that the installed torchvision works with."""
    for requirement in stack.requirements:
        match = re.match(r'torch\s*\(?([<>=!~][^;)]*)', requirement)
        if match:
            return match[1].strip()
    major, minor, _ = release(stack.versions['torchvision'])
    if major != 0 or minor < 14:
        return None
    if minor == 14:
        return '>=1.13,<2.0'
    return f'>=2.{minor - 15},<2.{minor - 13}'


def check_numpy(stack: Stack) -> Iterator[Finding]:
    """Find a numpy 2 beside a torch that was built for numpy 1."""
    torch, numpy = stack.version('torch'), stack.version('numpy')
    if torch is None or numpy is None:
        return
    if satisfies(torch, '<2.3') and satisfies(numpy, '>=2'):
        opencv = ' '.join(f'"{name}<4.12"' for name in stack.opencv[:1])
        yield Finding(
            'warning',
            f'torch {torch} was built for numpy 1, but got numpy {numpy}: '
            'tensors and arrays do not convert',
            f'pip install "numpy<2" {opencv}'.strip(),
        )


def check_unneeded(stack: Stack) -> Iterator[Finding]:
    """Find packages that nothing here needs, and that break others."""
    mmcls = stack.version('mmcls')
    if mmcls is not None and satisfies(mmcls, '<1.0'):
        yield Finding(
            'warning',
            f'mmcls {mmcls} needs mmcv 1, so MMRazor can do nothing with it; '
            'it is mmpretrain today, and nothing here needs it',
            'pip uninstall -y mmcls',
        )
    transformers = stack.version('transformers')
    if (
        transformers is not None
        and satisfies(transformers, '>=5')
        and stack.version('pycocotools') is not None
    ):
        yield Finding(
            'warning',
            f'the multimodal models of mmpretrain do not work with '
            f'transformers {transformers}, so mmdskd leaves them out; nothing '
            'here needs them',
            'pip install "transformers<5"',
        )


def check_setuptools(stack: Stack) -> Iterator[Finding]:
    """Find a setuptools without ``pkg_resources`` where that is needed.

    MMEngine, which reads ``package::`` configs by it, is patched.
    """
    setuptools = stack.version('setuptools')
    if stack.version('openmim') is None:
        return
    if setuptools is None or satisfies(setuptools, '>=82'):
        got = f'setuptools {setuptools}' if setuptools else 'no setuptools'
        yield Finding(
            'warning',
            'the command mim (openmim) needs pkg_resources, which setuptools '
            f'has up to 81, but got {got}',
            'pip install "setuptools<82"',
        )


def check_python(stack: Stack) -> Iterator[Finding]:
    """Find a Python that mmdskd was not made for."""
    python = stack.python[:2]
    if not MIN_PYTHON <= python <= MAX_PYTHON:
        first, last, this = (
            '.'.join(map(str, version))
            for version in (MIN_PYTHON, MAX_PYTHON, python)
        )
        yield Finding(
            'warning',
            f'mmdskd is made for Python {first} to {last}, not for {this}',
            'python3.12 -m venv .venv',
        )


CHECKS = (
    check_torch,
    check_torchvision,
    check_required,
    check_modules,
    check_opencv,
    check_numpy,
    check_unneeded,
    check_setuptools,
    check_python,
)
