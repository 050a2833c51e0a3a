import pytest

from mmdskd.version import installed_version, satisfies


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
