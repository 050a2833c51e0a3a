"""Tell what of the stack is installed, missing or at odds.

Run as ``python -m mmdskd.doctor``. It reads the metadata of the installed
packages and imports none of them, so it works where they are broken.
The standard library is enough to run it.
"""

import re
import sys
from collections.abc import Iterator
from importlib import metadata
from traceback import walk_tb
from typing import NamedTuple

from .version import MIN_TORCH, installed_version, satisfies

OPENCV = (
    'opencv-python',
    'opencv-python-headless',
    'opencv-contrib-python',
    'opencv-contrib-python-headless',
)
PACKAGES = (
    'mmdskd',
    'torch',
    'torchvision',
    'numpy',
    *OPENCV,
    'mmengine',
    'mmcv',
    'mmcv-lite',
    'mmpretrain',
    'mmrazor',
    'joblib',
    'scikit-learn',
    'matplotlib',
    'transformers',
    'mmcls',
)
# Listed if they are installed: one opencv of the four is enough, and one mmcv
# of the two. The last two are not needed.
LISTED_IF_THERE = (*OPENCV, 'mmcv', 'mmcv-lite', 'transformers', 'mmcls')
# Where mmpretrain imports transformers
MULTIMODAL = (
    'mmpretrain.models.multimodal',
    'mmpretrain.models.utils.huggingface',
    'mmpretrain.models.utils.tokenizer',
)
INSTALL_MMCV_LITE = 'pip install "mmcv-lite>=2.0.0,<=2.1.0"'
# What mmdskd needs: package, range (None: any), command
REQUIRED = (
    ('torch', f'>={MIN_TORCH}', 'pip install --upgrade torch torchvision'),
    ('torchvision', None, 'pip install torchvision'),
    ('numpy', None, 'pip install numpy'),
    ('mmengine', '>=0.10,<1.0', 'pip install "mmengine>=0.10,<1.0"'),
    ('mmpretrain', '>=1.1', 'pip install "mmpretrain>=1.1"'),
    ('mmrazor', '==1.0.0', 'pip install mmrazor==1.0.0'),
    ('joblib', None, 'pip install joblib'),
)


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


def check_required() -> Iterator[Finding]:
    """Find packages that are missing or of a version that cannot work."""
    for package, specifier, command in REQUIRED:
        version = installed_version(package)
        if version is None:
            yield Finding('error', f'{package} is missing', command)
        elif specifier and not satisfies(version, specifier):
            message = f'{package} should be {specifier}, but got {version}'
            yield Finding('error', message, command)
    if not any(map(installed_version, OPENCV)):
        yield Finding(
            'error', 'opencv-python is missing', 'pip install opencv-python'
        )


def check_mmcv() -> Iterator[Finding]:
    """Find a missing or wrong mmcv, or two that overwrite one another."""
    full, lite = installed_version('mmcv'), installed_version('mmcv-lite')
    version = full or lite
    if full and lite:
        yield Finding(
            'warning',
            'mmcv and mmcv-lite are both installed, and overwrite one '
            "another's files",
            f'pip uninstall -y mmcv mmcv-lite && {INSTALL_MMCV_LITE}',
        )
    elif version is None:
        yield Finding(
            'error',
            'mmcv is missing; mmcv-lite is all that is needed here',
            INSTALL_MMCV_LITE,
        )
    elif not satisfies(version, '>=2.0.0,<=2.1.0'):
        package = 'mmcv' if full else 'mmcv-lite'
        yield Finding(
            'error',
            f'{package} should be >=2.0.0rc1,<=2.1.0 for mmrazor 1.0.0, but '
            f'got {version}',
            f'pip install "{package}>=2.0.0,<=2.1.0"',
        )


def check_torchvision() -> Iterator[Finding]:
    """Find a torchvision that was built for another torch."""
    torch = installed_version('torch')
    torchvision = installed_version('torchvision')
    if torch is None or torchvision is None:
        return
    for requirement in metadata.requires('torchvision') or ():
        match = re.match(r'torch\s*\(?([<>=!~][^;)]*)', requirement)
        if match and not satisfies(torch, match[1]):
            yield Finding(
                'error',
                f'torchvision {torchvision} needs torch{match[1].strip()}, '
                f'but got {torch}',
                f'pip install torch=={torch} torchvision',
            )


def check_numpy() -> Iterator[Finding]:
    """Find a numpy 2 beside a torch that was built for numpy 1."""
    torch, numpy = installed_version('torch'), installed_version('numpy')
    if torch is None or numpy is None:
        return
    if satisfies(torch, '<2.3') and satisfies(numpy, '>=2'):
        yield Finding(
            'warning',
            f'torch {torch} was built for numpy 1, but got numpy {numpy}: '
            'tensors and arrays do not convert',
            'pip install "numpy<2" "opencv-python<4.12"',
        )


def check_unneeded() -> Iterator[Finding]:
    """Find packages that nothing here needs, and that break others."""
    mmcls = installed_version('mmcls')
    if mmcls is not None and satisfies(mmcls, '<1.0'):
        yield Finding(
            'warning',
            f'mmcls {mmcls} needs mmcv 1, so MMRazor can do nothing with it; '
            'it is mmpretrain today, and nothing here needs it',
            'pip uninstall -y mmcls',
        )
    transformers = installed_version('transformers')
    if (
        transformers is not None
        and satisfies(transformers, '>=5')
        and installed_version('pycocotools') is not None
    ):
        yield Finding(
            'warning',
            f'the multimodal models of mmpretrain do not work with '
            f'transformers {transformers}, so mmdskd leaves them out; nothing '
            'here needs them',
            'pip install "transformers<5"',
        )


def check_python() -> Iterator[Finding]:
    """Find a Python that mmdskd was not tested on."""
    python = sys.version_info[:2]
    if not (3, 9) <= python <= (3, 12):
        yield Finding(
            'warning',
            'mmdskd was tested on Python 3.9 to 3.12, not on '
            f'{python[0]}.{python[1]}',
            'python3.12 -m venv .venv',
        )


def diagnose() -> list[Finding]:
    """Run all checks.

    Returns:
        list[Finding]: What is wrong, errors first.
    """
    findings = (
        *check_required(),
        *check_mmcv(),
        *check_torchvision(),
        *check_numpy(),
        *check_unneeded(),
        *check_python(),
    )
    return sorted(findings, key=lambda finding: finding.level)


def format_findings(findings: list[Finding]) -> str:
    """Write findings with their commands, one below the other.

    Args:
        findings (list[Finding]): Output of :func:`diagnose`.

    Returns:
        str: The text, without a newline at its end.
    """
    return '\n'.join(
        f'{finding.level}: {finding.message}\n    {finding.command}'
        for finding in findings
    )


def find_culprit(error: Exception) -> Iterator[Finding]:
    """Find an optional package within which an import has failed.

    Args:
        error (Exception): What the import raised.
    """
    modules = [
        frame.f_globals.get('__name__', '')
        for frame, _ in walk_tb(error.__traceback__)
    ]
    transformers = installed_version('transformers')
    if any(name.partition('.')[0] == 'transformers' for name in modules):
        yield Finding(
            'error',
            f'transformers {transformers} cannot be imported; only '
            'HuggingFaceClassifier needs it',
            'pip uninstall -y transformers',
        )
    elif any(name.startswith(MULTIMODAL) for name in modules):
        yield Finding(
            'error',
            'the multimodal models of mmpretrain do not work with '
            f'transformers {transformers}; nothing here needs them, and '
            'without pycocotools they are left out',
            'pip uninstall -y pycocotools',
        )


def explain(error: Exception, package: str = 'mmdskd') -> str:
    """Say why an import failed.

    Args:
        error (Exception): What the import raised.
        package (str): Name of the imported package. Defaults to 'mmdskd'.

    Returns:
        str: The message for the user.
    """
    findings = format_findings([*find_culprit(error), *diagnose()])
    return (
        f'{package} cannot be imported: {type(error).__name__}: {error}\n'
    ) + (
        findings
        or 'The installed versions are not the reason; '
        '`python -m mmdskd.doctor` lists them.'
    )


def main() -> int:
    """Print what is installed and what is wrong with it.

    Returns:
        int: 1 if there is an error, else 0.
    """
    print(f'{"python":<16}{sys.version.split()[0]}')
    for package in PACKAGES:
        version = installed_version(package)
        if version or package not in LISTED_IF_THERE:
            print(f'{package:<16}{version or "-"}')
    findings = diagnose()
    print()
    print(format_findings(findings) or 'All is well.')
    return int(any(finding.level == 'error' for finding in findings))


if __name__ == '__main__':
    sys.exit(main())
