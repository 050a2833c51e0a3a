"""An MMCV that is newer than MMRazor and MMPretrain take."""

import os
import subprocess
import sys

import pytest

from mmdskd.compat.mmcv import is_newer_than_asserted

NEWER = """
import mmcv
mmcv.__version__ = '2.3.6'
try:
    import mmrazor
except AssertionError as error:
    print(error)
import mmdskd
import mmrazor
import mmpretrain
import mmrazor.models
print(mmcv.__version__, mmrazor.mmcv_version[:3], mmpretrain.mmcv_version[:3])
print(mmrazor.mmcv is mmcv)
"""
NEVER_SEEN = """
import sys
import mmdskd
import mmcv
for version in ('1.7.2', '3.0.0'):
    mmcv.__version__ = version
    try:
        import mmrazor
    except ImportError as error:
        print(str(error).splitlines()[0])
    print('mmrazor' in sys.modules)
mmcv.__version__ = '2.2.0'
import mmengine
mmengine.__version__ = '1.0.0'
import mmrazor
"""


def run(code):
    path = os.pathsep.join(filter(None, sys.path))
    return subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code],
        env=dict(os.environ, PYTHONPATH=path),
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    'mmcv, mmengine, newer',
    [
        ('2.0.0rc4', '0.10.7', False),
        ('2.1.0', '0.10.7', False),
        ('2.2.0', '0.10.7', True),
        ('2.3.6', '0.10.12', True),
        ('2.3.6', '1.0.0', False),
        ('2.2.0', '0.8.0', False),
        ('1.7.2', '0.10.7', False),
        ('3.0.0', '0.10.7', False),
    ],
)
def test_which_mmcv_is_newer(monkeypatch, mmcv, mmengine, newer):
    monkeypatch.setattr('mmcv.__version__', mmcv)
    monkeypatch.setattr('mmengine.__version__', mmengine)
    assert is_newer_than_asserted() is newer


def test_a_newer_mmcv_is_taken():
    """Also one that was imported before, after an import that failed."""
    result = run(NEWER)
    assert result.stdout == (
        'MMCV==2.3.6 is used but incompatible. Please install '
        'mmcv>=2.0.0rc1, <=2.1.0.\n'
        '2.3.6 (2, 3, 6) (2, 3, 6)\n'
        'True\n'
    ), result.stderr


def test_others_are_refused_as_before():
    result = run(NEVER_SEEN)
    assert result.stdout == (
        'mmrazor cannot be imported: AssertionError: MMCV==1.7.2 is used but '
        'incompatible. Please install mmcv>=2.0.0rc1, <=2.1.0.\nFalse\n'
        'mmrazor cannot be imported: AssertionError: MMCV==3.0.0 is used but '
        'incompatible. Please install mmcv>=2.0.0rc1, <=2.1.0.\nFalse\n'
    )
    assert 'StackError: mmrazor cannot be imported' in result.stderr
