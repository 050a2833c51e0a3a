"""Tell what of the stack is installed, missing or at odds.

Run as ``python -m mmdskd.doctor``. It reads the metadata of the installed
packages and imports none of them, so it works where ``import mmdskd`` does
not. The standard library is enough to run it.
"""

import re
import sys
from importlib import metadata
from typing import NamedTuple, Optional

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
)
INSTALL_MMCV_LITE = 'pip install "mmcv-lite>=2.0.0,<=2.1.0"'
# What `import mmdskd` needs: package, range (None: any), command
REQUIRED = (
    ('torch', '>=1.13', 'pip install --upgrade torch torchvision'),
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
        level (str): 'error' where ``import mmdskd`` cannot work or the
            version is not supported, else 'warning'.
        message (str): What is wrong.
        command (str): The command that mends it.
    """

    level: str
    message: str
    command: str


def installed_version(package: str) -> Optional[str]:
    """Get the installed version of a package, None if there is none.

    Args:
        package (str): Name on the package index.

    Returns:
        str, optional: The version.
    """
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _release(version: str) -> tuple[int, ...]:
    """Get the first three numbers of a version: '2.1+cpu' is (2, 1, 0)."""
    numbers = re.match(r'[\d.]*', version)[0].split('.')
    return tuple(int(number or 0) for number in (numbers + ['0', '0'])[:3])


def satisfies(version: str, specifier: str) -> bool:
    """Check a version against a specifier such as '>=1.13,<2.15'.

    Only the first three numbers count, so a pre-release counts as its
    release, and no package has to be imported for it.

    Args:
        version (str): The version.
        specifier (str): Comma-separated clauses.

    Returns:
        bool: Whether all clauses hold.
    """
    for clause in specifier.split(','):
        operator, limit = re.match(r'\s*([<>=!~]+)\s*(\S+)', clause).groups()
        have, want = _release(version), _release(limit)
        if not {
            '==': have == want,
            '!=': have != want,
            '>=': have >= want,
            '<=': have <= want,
            '>': have > want,
            '<': have < want,
            '~=': have >= want and have[0] == want[0],
        }[operator]:
            return False
    return True


def check_required() -> list[Finding]:
    """Find packages that are missing or of a version that cannot work.

    Returns:
        list[Finding]: One for each.
    """
    findings = []
    for package, specifier, command in REQUIRED:
        version = installed_version(package)
        if version is None:
            message = f'{package} is missing'
        elif specifier and not satisfies(version, specifier):
            message = f'{package} should be {specifier}, but got {version}'
        else:
            continue
        findings.append(Finding('error', message, command))
    if not any(map(installed_version, OPENCV)):
        findings.append(
            Finding(
                'error',
                'opencv-python is missing',
                'pip install opencv-python',
            )
        )
    return findings


def check_mmcv() -> list[Finding]:
    """Find a missing or wrong mmcv, or two that overwrite one another.

    Returns:
        list[Finding]: None or one.
    """
    full, lite = installed_version('mmcv'), installed_version('mmcv-lite')
    if full and lite:
        return [
            Finding(
                'warning',
                'mmcv and mmcv-lite are both installed, and overwrite one '
                "another's files",
                f'pip uninstall -y mmcv mmcv-lite && {INSTALL_MMCV_LITE}',
            )
        ]
    version = full or lite
    if version is None:
        return [
            Finding(
                'error',
                'mmcv is missing; mmcv-lite is all that is needed here',
                INSTALL_MMCV_LITE,
            )
        ]
    if not satisfies(version, '>=2.0.0,<=2.1.0'):
        package = 'mmcv' if full else 'mmcv-lite'
        return [
            Finding(
                'error',
                f'{package} should be >=2.0.0rc1,<=2.1.0 for '
                f'mmrazor 1.0.0, but got {version}',
                f'pip install "{package}>=2.0.0,<=2.1.0"',
            )
        ]
    return []


def check_torchvision() -> list[Finding]:
    """Find a torchvision that was built for another torch.

    Returns:
        list[Finding]: None or one.
    """
    torch = installed_version('torch')
    if torch is None or installed_version('torchvision') is None:
        return []
    for requirement in metadata.requires('torchvision') or ():
        match = re.match(r'torch\s*\(?([<>=!~][^;)]*)', requirement)
        if match and not satisfies(torch, match[1]):
            return [
                Finding(
                    'error',
                    f'torchvision {installed_version("torchvision")} needs '
                    f'torch{match[1].strip()}, but got {torch}',
                    f'pip install torch=={torch} torchvision',
                )
            ]
    return []


def check_numpy() -> list[Finding]:
    """Find a numpy 2 beside a torch that was built for numpy 1.

    Returns:
        list[Finding]: None or one.
    """
    torch, numpy = installed_version('torch'), installed_version('numpy')
    if (
        torch
        and numpy
        and satisfies(torch, '<2.3')
        and satisfies(numpy, '>=2')
    ):
        return [
            Finding(
                'warning',
                f'torch {torch} was built for numpy 1, but got '
                f'numpy {numpy}: tensors and arrays do not convert',
                'pip install "numpy<2" "opencv-python<4.12"',
            )
        ]
    return []


def check_python() -> list[Finding]:
    """Find a Python that mmdskd was not tested on.

    Returns:
        list[Finding]: None or one.
    """
    if (3, 9) <= sys.version_info[:2] <= (3, 12):
        return []
    return [
        Finding(
            'warning',
            'mmdskd was tested on Python 3.9 to 3.12, not on '
            f'{sys.version_info[0]}.{sys.version_info[1]}',
            'python3.12 -m venv .venv',
        )
    ]


def diagnose() -> list[Finding]:
    """Run all checks.

    Returns:
        list[Finding]: What is wrong, errors first.
    """
    findings = (
        check_required()
        + check_mmcv()
        + check_torchvision()
        + check_numpy()
        + check_python()
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


def explain(error: Exception) -> str:
    """Say why ``import mmdskd`` failed.

    Args:
        error (Exception): What the import raised.

    Returns:
        str: The message for the user.
    """
    findings = format_findings(diagnose())
    return f'mmdskd cannot be imported: {type(error).__name__}: {error}\n' + (
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
        # One opencv of the four is enough, and one mmcv of the two.
        if version or package not in (*OPENCV, 'mmcv', 'mmcv-lite'):
            print(f'{package:<16}{version or "-"}')
    findings = diagnose()
    print()
    print(format_findings(findings) or 'All is well.')
    return int(any(finding.level == 'error' for finding in findings))


if __name__ == '__main__':
    sys.exit(main())
