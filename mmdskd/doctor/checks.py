"""What may be wrong with the installed packages, one check each."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..version import MAX_PYTHON, MIN_PYTHON, satisfies
from .stack import Finding, Stack, install, is_of_onedl
from .torch_checks import check_numpy, check_torch, check_torchvision

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


def install_modules(modules: Iterable[str], stack: Stack) -> str:
    """Write the command that installs modules of the line in use."""
    wanted = ''
    for module in modules:
        package = stack.line[module]
        is_lite = package == 'mmcv-lite'
        wanted += f' "{package}{MMCV_LITE if is_lite else RANGES[module]}"'
    return f'pip install{wanted}'


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
    doubled = {}
    for module, specifier in RANGES.items():
        packages = stack.installed(module)
        if len(packages) > 1:
            doubled[module] = packages
            continue
        for package in packages:
            if not satisfies(stack.versions[package], specifier):
                yield Finding(
                    'error',
                    f'{package} should be {specifier}, but got '
                    f'{stack.versions[package]}',
                    _replace(module, package, stack),
                )
    if doubled:
        yield _find_doubled(doubled, stack)


def _find_doubled(
    doubled: Mapping[str, Sequence[str]], stack: Stack
) -> Finding:
    """Find what is wrong with modules that several packages brought.

    One command for all: it leaves packages of one line.
    """
    is_broken = any(
        # Of both lines, or with one that is too old
        len({is_of_onedl(name) for name in packages}) > 1
        or not all(
            satisfies(stack.versions[name], RANGES[module])
            for name in packages
        )
        for module, packages in doubled.items()
    )
    names = ', '.join(' and '.join(packages) for packages in doubled.values())
    every = ' '.join(
        name for packages in doubled.values() for name in packages
    )
    return Finding(
        'error' if is_broken else 'warning',
        f"{names} are installed together, and overwrite one another's files",
        f'pip uninstall -y {every} && {install_modules(doubled, stack)}',
    )


def _replace(module: str, package: str, stack: Stack) -> str:
    """Write the command that brings another version of a module."""
    command = install_modules([module], stack)
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
    # Newer ones require numpy 2.
    is_old = satisfies(stack.version('numpy') or '2', '<2')
    specifier = '<4.12' if is_old else None
    if not installed:
        # One that is no package may be of conda or a container. The command
        # for a missing MMCV installs OpenCV, too.
        has_mmcv = stack.installed('mmcv') or 'mmcv' in stack.modules
        if has_mmcv and 'cv2' not in stack.modules:
            yield Finding(
                'error',
                'opencv-python is missing',
                install('opencv-python', specifier),
            )
    elif len(installed) > 1:
        names = ''.join(installed)
        contrib = '-contrib' if 'contrib' in names else ''
        headless = '-headless' if 'headless' in names else ''
        yield Finding(
            'warning',
            f'{" and ".join(installed)} are installed together, and '
            "overwrite one another's files",
            f'pip uninstall -y {" ".join(installed)} && '
            + install(f'opencv{contrib}-python{headless}', specifier),
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
