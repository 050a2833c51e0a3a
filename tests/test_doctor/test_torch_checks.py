import pytest
from stacks import REQUIREMENTS, make

from mmdskd.doctor import diagnose

TORCH = 'pip install torch==2.14.1+cpu "torchvision>=0.28,<0.30" --index-url '
INDEX = 'https://download.pytorch.org/whl'


@pytest.mark.parametrize(
    'torch, torchvision, needed, command',
    [
        (
            '2.13.0',
            '0.29.1',
            '==2.14.1',
            'pip install torch==2.13.0 "torchvision>=0.27,<0.29"',
        ),
        (
            '2.13.0+cu130',
            '0.29.1',
            '==2.14.1',
            'pip install torch==2.13.0+cu130 "torchvision>=0.27,<0.29" '
            f'--index-url {INDEX}/cu130',
        ),
        (
            '1.13.1',
            '0.15.2',
            '==2.0.1',
            'pip install torch==1.13.1 "torchvision>=0.13,<0.15"',
        ),
        # No torchvision for it may be there yet.
        ('2.99.0', '0.29.1', '==2.14.1', 'pip install torch==2.14.1'),
        (
            '2.99.0+cpu',
            '0.29.1',
            '==2.14.1',
            f'pip install torch==2.14.1 --index-url {INDEX}/cpu',
        ),
        (
            '2.99.0.dev20261101+cu130',
            '0.30.0.dev20261028',
            '==2.98.0.dev20261028',
            'pip install torch==2.98.0.dev20261028 --pre '
            f'--index-url {INDEX}/nightly/cu130',
        ),
        # Its metadata names no torch.
        (
            '2.13.0',
            '0.29.1',
            '>=2.14,<2.16',
            'pip install torch==2.13.0 "torchvision>=0.27,<0.29"',
        ),
        (
            '2.0.1',
            '0.14.1',
            '>=1.13,<2.0',
            'pip install torch==2.0.1 "torchvision>=0.14,<0.16"',
        ),
    ],
)
def test_torchvision_of_another_torch(torch, torchvision, needed, command):
    requirements = [f'torch{needed}'] if needed.startswith('==') else ['numpy']
    changes = dict(torch=torch, torchvision=torchvision, numpy='1.26.4')
    assert diagnose(make(changes=changes, requirements=requirements)) == [
        (
            'error',
            f'torchvision {torchvision} needs torch{needed}, but got {torch}',
            command,
        )
    ]


@pytest.mark.parametrize(
    'torch, torchvision',
    [
        ('2.14.1', '0.29.1'),
        ('2.15.0', '0.29.2'),
        ('1.13.1', '0.14.1'),
        ('2.14.1', '1.0.0'),
        ('2.14.0a0+1a2b3c', '0.29.0a0+4d5e6f'),  # of an own build
        ('2.14.1+cpu', '0.29.1'),  # not known
    ],
)
def test_torchvision_that_fits_without_metadata(torch, torchvision):
    changes = dict(torch=torch, torchvision=torchvision, numpy='1.26.4')
    assert diagnose(make(changes=changes, requirements=())) == []


def test_torchvision_of_another_build():
    (finding,) = diagnose(make(changes=dict(torch='2.14.1+cu130')))
    assert finding == (
        'error',
        'torchvision 0.29.1+cpu should be of the same build as torch '
        '2.14.1+cu130',
        'pip install --force-reinstall --no-deps torchvision==0.29.1 '
        f'--index-url {INDEX}/cu130',
    )


@pytest.mark.parametrize(
    'torch, command',
    [
        (
            '2.14.0.dev20260701+cpu',
            'pip install torch==2.14.0.dev20260701+cpu '
            '"torchvision>=0.28,<0.30" --pre '
            f'--index-url {INDEX}/nightly/cpu',
        ),
        # No index has it: any other would be installed over it.
        (
            '2.14.0a0+34c6371d24.nv26.08',
            'pip install --no-deps "torchvision>=0.28,<0.30"',
        ),
    ],
)
def test_torchvision_of_a_torch_that_is_no_release(torch, command):
    changes = dict(torch=torch, torchvision=None)
    (finding,) = diagnose(make(changes=changes))
    assert finding.command == command


def test_torchvision_without_metadata():
    stack = make(
        changes=dict(torchvision=None), modules=dict(torchvision='0.29.1')
    )
    assert diagnose(stack) == [
        (
            'warning',
            'torchvision 0.29.1 has no metadata, so whether it fits the '
            'others is not known',
            f'{TORCH}{INDEX}/cpu --force-reinstall',
        )
    ]


def test_numpy_2_with_a_torch_of_numpy_1():
    changes = dict(torch='2.2.2', torchvision='0.17.2')
    requirements = ['torch==2.2.2']
    (finding,) = diagnose(make(changes=changes, requirements=requirements))
    assert finding == (
        'warning',
        'torch 2.2.2 was built for numpy 1, but got '
        'numpy 2.4.6: tensors and arrays do not convert',
        'pip install "numpy<2" "opencv-python-headless<4.12"',
    )
    changes['numpy'] = '1.26.4'
    assert diagnose(make(changes=changes, requirements=requirements)) == []


def test_requirements_are_of_a_torchvision_that_fits():
    """Else the tests above prove less."""
    assert any(line.startswith('torch ==2.14.1') for line in REQUIREMENTS)
