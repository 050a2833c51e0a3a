import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mmdskd.version import MAX_PYTHON, MIN_PYTHON, installed_version, satisfies

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    'version, specifier, expected',
    [
        ('2.14.1+cu130', '==2.14.1', True),
        ('2.14.1', '>=1.13', True),
        ('1.12', '>=1.13', False),
        ('2.1', '<=2.1.0', True),
        ('2.1.1', '>=2.0.0,<=2.1.0', False),
        ('0.10.7', '>=0.10,<1.0', True),
        ('2.2', '!=2.2.0', False),
        ('2.2', '~=2.1', True),
        ('3.0', '~=2.1', False),
        ('2.10', '>2.9', True),
        ('2.0.0rc4', '>=2.0.0', True),
    ],
)
def test_satisfies(version, specifier, expected):
    assert satisfies(version, specifier) is expected


def test_installed_version():
    assert installed_version('mmrazor') == '1.0.0'
    assert installed_version('no-such-package') is None


def test_old_python_is_refused():
    code = 'import sys; sys.version_info = (3, 8, 18); import mmdskd'
    result = subprocess.run(
        [sys.executable, '-S', '-c', code],
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
    )
    assert result.stderr.endswith(
        'ImportError: mmdskd needs Python 3.9 or newer, but this is 3.8: '
        'python3.12 -m venv .venv\n'
    )


def test_one_range_of_python():
    """In the metadata, the Makefile and the README, too."""
    (first, last) = (MIN_PYTHON[1], MAX_PYTHON[1])
    text = (ROOT / 'pyproject.toml').read_text()
    assert f'requires-python = ">=3.{first}"' in text
    minors = re.findall(r'"Programming Language :: Python :: 3\.(\d+)"', text)
    assert list(map(int, minors)) == [*range(first, last + 1)]
    makefile = (ROOT / 'Makefile').read_text()
    names = re.search(r'^PYTHON \?= (.*) python3 python$', makefile, re.M)[1]
    preferred = [int(name[len('python3.') :]) for name in names.split()]
    assert sorted(preferred) == [*range(first, last + 1)]
    assert f'(3, {first}) <= sys.version_info[:2] <= (3, {last})' in makefile
    assert f'(3.{first}-3.{last})' in makefile
    for page in (makefile, (ROOT / 'README.md').read_text()):
        assert f'Python 3.{first} to 3.{last}' in page
