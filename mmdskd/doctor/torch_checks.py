"""What may be wrong with torch and what is built for it, one check each."""

import re
from collections.abc import Iterator
from typing import Optional

from ..version import MAX_TORCH, MIN_TORCH, release, satisfies
from .stack import Finding, Stack, install

WHEELS = 'https://download.pytorch.org/whl'
# The builds there, such as of torch 2.14.1+cu130
BUILD = re.compile(r'\+(cpu|xpu|cu\d+|rocm[\d.]+)$')


def install_torchvision(stack: Stack) -> str:
    """Write the command that installs the torchvision of the torch."""
    torch = stack.versions['torch']
    major, minor, _ = release(torch)
    # 0.14 of torch 1.13, 0.15 of torch 2.0, and so on to 0.29 of torch 2.14;
    # that of torch 2.15 is 0.29, too. pip finds the one that fits.
    last = minor + 15 if major == 2 else minor + 1
    torchvision = f'"torchvision>=0.{last - 1},<0.{last + 1}"'
    if '+' in torch and _build(torch) is None:
        # Of an own build or a container: no index has it.
        return f'pip install --no-deps {torchvision}'
    return f'pip install torch=={torch} {torchvision}' + _index(torch)


def _index(version: str) -> str:
    """Write the option of pip for the builds that a version is of."""
    build = _build(version)
    if build is None:
        return ''
    if '.dev' in version:
        return f' --pre --index-url {WHEELS}/nightly/{build}'
    return f' --index-url {WHEELS}/{build}'


def _build(version: str) -> Optional[str]:
    """Get 'cpu' or 'cu130', None if the version does not say it."""
    match = BUILD.search(version)
    return match[1] if match else None


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
    build, other = _build(torch), _build(torchvision)
    if needed and not satisfies(torch, needed):
        # There may be no torchvision yet for the newest torch. The wanted
        # torch is of the same build.
        is_new = release(torch)[:2] > release(MAX_TORCH)[:2]
        yield Finding(
            'error',
            f'torchvision {torchvision} needs torch{needed}, but got {torch}',
            install('torch', needed) + _index(f'{needed}+{build}')
            if is_new
            else install_torchvision(stack),
        )
        return
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
