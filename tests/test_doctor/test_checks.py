import pytest
from stacks import ONEDL, OPENMMLAB, make

from mmdskd.doctor import diagnose

TORCH = 'pip install torch==2.14.1+cpu "torchvision>=0.28,<0.30" --index-url '
INDEX = 'https://download.pytorch.org/whl'
MMCV_LITE = 'pip install "mmcv-lite>=2.0.0,<=2.1.0"'
ONEDL_MMCV = 'pip install "onedl-mmcv>=2.0.0,<3"'


@pytest.mark.parametrize('packages', [OPENMMLAB, ONEDL])
def test_nothing_wrong(packages):
    assert diagnose(make(packages)) == []


@pytest.mark.parametrize(
    'packages, package, command',
    [
        (OPENMMLAB, 'torch', 'pip install --upgrade torch torchvision'),
        (OPENMMLAB, 'torchvision', f'{TORCH}{INDEX}/cpu'),
        (OPENMMLAB, 'numpy', 'pip install numpy'),
        (OPENMMLAB, 'mmrazor', 'pip install mmrazor==1.0.0'),
        (OPENMMLAB, 'joblib', 'pip install joblib'),
        (OPENMMLAB, 'opencv-python-headless', 'pip install opencv-python'),
        (OPENMMLAB, 'mmengine', 'pip install "mmengine>=0.10,<1.0"'),
        (OPENMMLAB, 'mmcv-lite', MMCV_LITE),
        (OPENMMLAB, 'mmpretrain', 'pip install "mmpretrain>=1.1"'),
        (ONEDL, 'onedl-mmengine', 'pip install "onedl-mmengine>=0.10,<1.0"'),
        (ONEDL, 'onedl-mmcv', ONEDL_MMCV),
        (ONEDL, 'onedl-mmpretrain', 'pip install "onedl-mmpretrain>=1.1"'),
    ],
)
def test_missing_package(packages, package, command):
    (finding,) = diagnose(make(packages, {package: None}))
    assert finding.level == 'error'
    assert 'is missing' in finding.message
    assert finding.command == command


def test_an_empty_environment_is_of_openmmlab():
    stack = make({})
    assert not stack.is_onedl
    findings = diagnose(stack)
    assert (
        'error',
        'mmengine and mmpretrain and mmcv-lite are missing',
        'pip install "mmengine>=0.10,<1.0" "mmpretrain>=1.1" '
        '"mmcv-lite>=2.0.0,<=2.1.0"',
    ) in findings
    commands = [finding.command for finding in findings]
    assert commands.count('pip install --upgrade torch torchvision') == 2


@pytest.mark.parametrize(
    'changes, level, message, command',
    [
        (
            dict(torch='1.12.1', torchvision='0.13.1', numpy='1.26.4'),
            'error',
            'torch should be >=1.13, but got 1.12.1',
            'pip install --upgrade torch torchvision',
        ),
        (
            {'mmcv': '2.1.0'},
            'warning',
            'mmcv and mmcv-lite are installed together, and overwrite one '
            "another's files",
            f'pip uninstall -y mmcv mmcv-lite && {MMCV_LITE}',
        ),
        (
            {'mmcv-full': '1.7.2'},
            'error',
            'mmcv-full and mmcv-lite are installed together, and overwrite '
            "one another's files",
            f'pip uninstall -y mmcv-full mmcv-lite && {MMCV_LITE}',
        ),
        (
            {'mmcv-lite': None, 'mmcv': '1.7.2'},
            'error',
            'mmcv should be >=2.0.0,<3, but got 1.7.2',
            f'pip uninstall -y mmcv && {MMCV_LITE}',
        ),
        (
            {'mmcv-lite': None, 'mmcv-full': '1.7.2'},
            'error',
            'mmcv-full should be >=2.0.0,<3, but got 1.7.2',
            f'pip uninstall -y mmcv-full && {MMCV_LITE}',
        ),
        (
            {'mmcv-lite': '3.0.0'},
            'error',
            'mmcv-lite should be >=2.0.0,<3, but got 3.0.0',
            MMCV_LITE,
        ),
        (
            dict(mmengine='0.9.1'),
            'error',
            'mmengine should be >=0.10,<1.0, but got 0.9.1',
            'pip install "mmengine>=0.10,<1.0"',
        ),
        (
            {'mmengine': None, 'mmengine-lite': '0.9.1'},
            'error',
            'mmengine-lite should be >=0.10,<1.0, but got 0.9.1',
            'pip install "mmengine-lite>=0.10,<1.0"',
        ),
        (
            dict(mmpretrain='1.0.0rc8'),
            'error',
            'mmpretrain should be >=1.1, but got 1.0.0rc8',
            'pip install "mmpretrain>=1.1"',
        ),
        (
            dict(mmrazor='0.3.1'),
            'error',
            'mmrazor should be ==1.0.0, but got 0.3.1',
            'pip install mmrazor==1.0.0',
        ),
        (
            {'opencv-python': '5.0.0.93'},
            'warning',
            'opencv-python and opencv-python-headless are installed '
            "together, and overwrite one another's files",
            'pip uninstall -y opencv-python opencv-python-headless && '
            'pip install opencv-python-headless',
        ),
        (
            dict(openmim='0.3.9', setuptools='84.2.1'),
            'warning',
            'the command mim (openmim) needs pkg_resources, which setuptools '
            'has up to 81, but got setuptools 84.2.1',
            'pip install "setuptools<82"',
        ),
        (
            dict(openmim='0.3.9'),
            'warning',
            'the command mim (openmim) needs pkg_resources, which setuptools '
            'has up to 81, but got no setuptools',
            'pip install "setuptools<82"',
        ),
        (
            dict(mmcls='0.25.0'),
            'warning',
            'mmcls 0.25.0 needs mmcv 1, so MMRazor can do nothing with it; it '
            'is mmpretrain today, and nothing here needs it',
            'pip uninstall -y mmcls',
        ),
        (
            dict(transformers='5.1.0', pycocotools='2.0.8'),
            'warning',
            'the multimodal models of mmpretrain do not work with '
            'transformers 5.1.0, so mmdskd leaves them out; nothing here '
            'needs them',
            'pip install "transformers<5"',
        ),
    ],
)
def test_clash(changes, level, message, command):
    assert diagnose(make(changes=changes)) == [(level, message, command)]


@pytest.mark.parametrize(
    'changes',
    [
        {'mmcv-lite': '2.2.0'},
        {'mmcv-lite': None, 'mmcv': '2.2.0'},
        {'mmcv-lite': None, 'mmcv': '2.1.0'},
        {'mmengine': None, 'mmengine-lite': '0.10.7'},
        dict(openmim='0.3.9', setuptools='81.0.0'),
        dict(mmcls='1.0.0rc6'),
        dict(transformers='5.1.0'),
        dict(transformers='4.49.0', pycocotools='2.0.8'),
    ],
)
def test_what_is_fine(changes):
    assert diagnose(make(changes=changes)) == []


def test_two_opencvs_beside_numpy_1():
    changes = {
        'numpy': '1.26.4',
        'opencv-contrib-python': '4.11.0.86',
        'torch': '2.2.2',
        'torchvision': '0.17.2',
    }
    (finding,) = diagnose(make(changes=changes, requirements=()))
    assert finding.command == (
        'pip uninstall -y opencv-python-headless opencv-contrib-python && '
        'pip install "opencv-contrib-python-headless<4.12"'
    )


def test_missing_opencv_keeps_numpy_1():
    changes = {
        'numpy': '1.26.4',
        'opencv-python-headless': None,
        'torch': '2.2.2',
        'torchvision': '0.17.2',
    }
    (finding,) = diagnose(make(changes=changes, requirements=()))
    assert finding.command == 'pip install "opencv-python<4.12"'


@pytest.mark.parametrize('packages', [OPENMMLAB, ONEDL])
def test_one_command_after_an_installation_without_a_line(packages):
    """As by ``pip install mmdskd``: MMCV requires OpenCV."""
    changes = dict.fromkeys(
        name for name in packages if 'mm' in name or 'opencv' in name
    )
    (finding,) = diagnose(make(packages, {**changes, 'mmrazor': '1.0.0'}))
    assert finding.command == (
        'pip install "mmengine>=0.10,<1.0" "mmpretrain>=1.1" '
        '"mmcv-lite>=2.0.0,<=2.1.0"'
    )


def test_opencv_without_metadata_is_not_missing():
    changes = {'opencv-python-headless': None}
    assert diagnose(make(changes=changes, modules=dict(cv2=''))) == []


# ---------------------------------------------------------------------------
# Both lines
# ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    'packages, changes, message, command',
    [
        (
            ONEDL,
            dict(mmengine='0.10.7'),
            'mmengine and onedl-mmengine are',
            'pip uninstall -y mmengine onedl-mmengine && '
            'pip install "onedl-mmengine>=0.10,<1.0"',
        ),
        (
            ONEDL,
            dict(mmpretrain='1.2.0'),
            'mmpretrain and onedl-mmpretrain are',
            'pip uninstall -y mmpretrain onedl-mmpretrain && '
            'pip install "onedl-mmpretrain>=1.1"',
        ),
        (
            ONEDL,
            {'mmcv-lite': '2.1.0', 'mmcv': '2.1.0'},
            'mmcv and mmcv-lite and onedl-mmcv are',
            f'pip uninstall -y mmcv mmcv-lite onedl-mmcv && {ONEDL_MMCV}',
        ),
        (
            OPENMMLAB,
            {'onedl-mmengine': '0.10.12'},
            'mmengine and onedl-mmengine are',
            'pip uninstall -y mmengine onedl-mmengine && '
            'pip install "mmengine>=0.10,<1.0"',
        ),
        (
            OPENMMLAB,
            {'onedl-mmcv-cu128-torch2-8': '2.3.1'},
            'mmcv-lite and onedl-mmcv-cu128-torch2-8 are',
            'pip uninstall -y mmcv-lite onedl-mmcv-cu128-torch2-8 && '
            f'{MMCV_LITE}',
        ),
    ],
)
def test_one_package_of_both_lines(packages, changes, message, command):
    assert diagnose(make(packages, changes)) == [
        (
            'error',
            f"{message} installed together, and overwrite one another's files",
            command,
        )
    ]


@pytest.mark.parametrize(
    'modules, kept',
    [
        (dict(mmengine='0.10.7', mmcv=''), 'mmpretrain'),
        (dict(mmengine='0.10.12', mmcv=''), 'onedl-mmpretrain'),
        (dict(mmcv='2.1.0'), 'mmpretrain'),
        ({}, 'onedl-mmpretrain'),
    ],
)
def test_files_decide_which_of_two_whole_lines_is_kept(modules, kept):
    (finding,) = diagnose(make({**OPENMMLAB, **ONEDL}, modules=modules))
    line = 'onedl-' if kept.startswith('onedl') else ''
    mmcv = ONEDL_MMCV if line else MMCV_LITE
    assert finding == (
        'error',
        'mmengine and onedl-mmengine, mmpretrain and onedl-mmpretrain, '
        'mmcv-lite and onedl-mmcv are installed together, and overwrite one '
        "another's files",
        'pip uninstall -y mmengine onedl-mmengine mmpretrain '
        'onedl-mmpretrain mmcv-lite onedl-mmcv && pip install '
        f'"{line}mmengine>=0.10,<1.0" "{kept}>=1.1" '
        + mmcv.replace('pip install ', ''),
    )


@pytest.mark.parametrize(
    'changes, command',
    [
        ({'onedl-mmcv': None}, ONEDL_MMCV),
        (
            {'onedl-mmcv': None, 'mmcv-lite': '1.7.2'},
            f'pip uninstall -y mmcv-lite && {ONEDL_MMCV}',
        ),
        (
            {'onedl-mmpretrain': None, 'mmpretrain': '1.0.2'},
            'pip install "mmpretrain>=1.1"',  # requires no MMEngine
        ),
    ],
)
def test_no_command_overwrites_mmengine_of_onedl(changes, command):
    """``mmcv-lite`` requires ``mmengine``."""
    (finding,) = diagnose(make(ONEDL, changes))
    assert finding.command == command


def test_no_command_overwrites_mmengine_of_openmmlab():
    """``onedl-mmcv`` requires ``onedl-mmengine``."""
    changes = {
        'mmpretrain': None,
        'onedl-mmpretrain': '1.3.6',
        'mmcv-lite': None,
    }
    (finding,) = diagnose(make(OPENMMLAB, changes))
    assert finding.command == MMCV_LITE


def test_packages_of_both_lines_side_by_side():
    """They share no file."""
    changes = {'onedl-mmcv': None, 'mmcv-lite': '2.1.0'}
    stack = make(ONEDL, changes)
    assert stack.is_onedl
    assert diagnose(stack) == []


def test_a_clone_is_not_missing():
    stack = make(changes=dict(mmpretrain=None), modules=dict(mmpretrain=''))
    assert diagnose(stack) == []


# ---------------------------------------------------------------------------
# Python, and what is printed
# ---------------------------------------------------------------------------
@pytest.mark.parametrize('python', [(3, 8, 18), (3, 15, 0)])
def test_python_that_is_too_old_or_too_new(python):
    assert diagnose(make(python=python)) == [
        (
            'warning',
            f'mmdskd is made for Python 3.9 to 3.14, not for 3.{python[1]}',
            'python3.12 -m venv .venv',
        )
    ]


@pytest.mark.parametrize('minor', range(9, 15))
def test_python_that_is_fine(minor):
    assert diagnose(make(python=(3, minor, 7))) == []


def test_commands_of_uv():
    """It makes environments without pip."""
    findings = diagnose(
        make(changes={'joblib': None, 'mmcv': '2.1.0'}, has_uv=True)
    )
    assert [finding.command for finding in findings] == [
        'uv pip install joblib',
        'uv pip uninstall mmcv mmcv-lite && uv ' + MMCV_LITE,
    ]


def test_errors_come_first():
    stack = make(changes={'mmcv': '2.1.0', 'joblib': None})
    assert [finding.level for finding in diagnose(stack)] == [
        'error',
        'warning',
    ]
