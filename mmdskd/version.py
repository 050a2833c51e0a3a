"""The versions of mmdskd, Python, torch and what is installed.

The standard library is enough to import it, and an old Python.
"""

from __future__ import annotations

import re
from importlib import metadata

__version__ = '0.1.0'
# The releases of Python that mmdskd is made for
MIN_PYTHON = (3, 9)
MAX_PYTHON = (3, 14)
# Releases of torch that mmdskd was tested on, as in requirements/*.txt.
MIN_TORCH = '1.13'
MAX_TORCH = '2.15'


def installed_version(package: str) -> str | None:
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


def release(version: str) -> tuple[int, ...]:
    """Get the first three numbers of a version.

    Args:
        version (str): The version, such as '2.1+cpu'.

    Returns:
        tuple[int, ...]: The numbers, such as (2, 1, 0).
    """
    numbers = re.findall(r'\d+', re.split(r'[^\d.]', version)[0])
    return tuple(map(int, [*numbers, 0, 0, 0][:3]))


def satisfies(version: str, specifier: str) -> bool:
    """Check a version against a specifier such as '>=1.13,<2.16'.

    Only the first three numbers count, so a pre-release counts as its
    release, and no package has to be imported for it.

    Args:
        version (str): The version.
        specifier (str): Comma-separated clauses.

    Returns:
        bool: Whether all clauses hold.
    """
    for clause in specifier.split(','):
        _, operator, limit = re.split(r'([<>=!~]+)', clause, maxsplit=1)
        have, want = release(version), release(limit.strip())
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
