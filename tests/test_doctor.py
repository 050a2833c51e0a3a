import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmdskd import doctor

ROOT = Path(doctor.__file__).resolve().parents[1]
GOOD = {
    'torch': '2.14.1+cpu',
    'torchvision': '0.29.1+cpu',
    'numpy': '2.4.6',
    'opencv-python-headless': '5.0.0.93',
    'mmengine': '0.10.7',
    'mmcv-lite': '2.1.0',
    'mmpretrain': '1.2.0',
    'mmrazor': '1.0.0',
    'joblib': '1.6.0',
}
REQUIRES = {'torchvision': ('numpy', 'torch ==2.14.1 ; extra != "x"')}


def install(folder, packages, requires=REQUIRES):
    """Write the metadata of packages that are not there."""
    for name, version in packages.items():
        info = folder / f'{name.replace("-", "_")}-{version}.dist-info'
        info.mkdir()
        lines = [f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}']
        lines += [f'Requires-Dist: {text}' for text in requires.get(name, ())]
        (info / 'METADATA').write_text('\n'.join(lines) + '\n')


def run(folder, *arguments):
    """Run Python with ``folder`` in place of all installed packages."""
    env = dict(os.environ, PYTHONPATH=f'{folder}{os.pathsep}{ROOT}')
    return subprocess.run(
        [sys.executable, '-S', *arguments],
        env=env,
        cwd=folder,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def installed(monkeypatch):
    packages = dict(GOOD)
    monkeypatch.setattr(doctor, 'installed_version', packages.get)
    monkeypatch.setattr(doctor.metadata, 'requires', REQUIRES.get)
    monkeypatch.setattr(doctor.sys, 'version_info', (3, 12, 1))
    return packages


def test_nothing_wrong(installed, capsys):
    assert doctor.diagnose() == []
    assert doctor.main() == 0
    output = capsys.readouterr().out
    assert 'mmcv-lite       2.1.0\n' in output
    assert 'scikit-learn    -\n' in output
    assert output.endswith('All is well.\n')


@pytest.mark.parametrize(
    'package, command',
    [
        ('torch', 'pip install --upgrade torch torchvision'),
        ('torchvision', 'pip install torchvision'),
        ('numpy', 'pip install numpy'),
        ('mmengine', 'pip install "mmengine>=0.10,<1.0"'),
        ('mmcv-lite', 'pip install "mmcv-lite>=2.0.0,<=2.1.0"'),
        ('mmpretrain', 'pip install "mmpretrain>=1.1"'),
        ('mmrazor', 'pip install mmrazor==1.0.0'),
        ('joblib', 'pip install joblib'),
        ('opencv-python-headless', 'pip install opencv-python'),
    ],
)
def test_missing_package(installed, package, command):
    del installed[package]
    (finding,) = doctor.diagnose()
    assert finding.level == 'error'
    assert 'is missing' in finding.message
    assert finding.command == command


@pytest.mark.parametrize(
    'changes, level, message, command',
    [
        (
            dict(torch='1.12.1', torchvision=None, numpy='1.26.4'),
            'error',
            'torch should be >=1.13, but got 1.12.1',
            'pip install --upgrade torch torchvision',
        ),
        (
            {'mmcv': '2.1.0'},
            'warning',
            'mmcv and mmcv-lite are both installed, and overwrite one another',
            'pip uninstall -y mmcv mmcv-lite && '
            'pip install "mmcv-lite>=2.0.0,<=2.1.0"',
        ),
        (
            {'mmcv-lite': '2.2.0'},
            'error',
            'mmcv-lite should be >=2.0.0rc1,<=2.1.0 for mmrazor 1.0.0, '
            'but got 2.2.0',
            'pip install "mmcv-lite>=2.0.0,<=2.1.0"',
        ),
        (
            {'mmcv-lite': None, 'mmcv': '1.7.2'},
            'error',
            'mmcv should be >=2.0.0rc1,<=2.1.0 for mmrazor 1.0.0, '
            'but got 1.7.2',
            'pip install "mmcv>=2.0.0,<=2.1.0"',
        ),
        (
            dict(mmengine='0.9.1'),
            'error',
            'mmengine should be >=0.10,<1.0, but got 0.9.1',
            'pip install "mmengine>=0.10,<1.0"',
        ),
        (
            dict(mmrazor='0.3.1'),
            'error',
            'mmrazor should be ==1.0.0, but got 0.3.1',
            'pip install mmrazor==1.0.0',
        ),
        (
            dict(torch='2.13.0'),
            'error',
            'torchvision 0.29.1+cpu needs torch==2.14.1, but got 2.13.0',
            'pip install torch==2.13.0 torchvision',
        ),
    ],
)
def test_clash(installed, changes, level, message, command):
    installed.update(changes)
    findings = [
        finding
        for finding in doctor.diagnose()
        if finding.message != 'torchvision is missing'
    ]
    assert len(findings) == 1
    assert findings[0].level == level
    assert message in findings[0].message
    assert findings[0].command == command
    assert doctor.main() == int(level == 'error')


def test_numpy_2_with_a_torch_of_numpy_1(installed, monkeypatch):
    installed.update(torch='2.2.2', torchvision='0.17.2')
    monkeypatch.setattr(
        doctor.metadata, 'requires', lambda _: ['torch==2.2.2']
    )
    (finding,) = doctor.diagnose()
    assert finding == (
        'warning',
        'torch 2.2.2 was built for numpy 1, but got '
        'numpy 2.4.6: tensors and arrays do not convert',
        'pip install "numpy<2" "opencv-python<4.12"',
    )
    installed['numpy'] = '1.26.4'
    assert doctor.diagnose() == []


@pytest.mark.parametrize('version', [(3, 8, 1), (3, 13, 0)])
def test_untested_python(installed, monkeypatch, version):
    monkeypatch.setattr(doctor.sys, 'version_info', version)
    (finding,) = doctor.diagnose()
    assert finding.level == 'warning'
    assert f'not on 3.{version[1]}' in finding.message


@pytest.mark.parametrize(
    'packages, message, command',
    [
        (
            dict(mmcls='0.25.0'),
            'mmcls 0.25.0 needs mmcv 1, so MMRazor can do nothing with it; it '
            'is mmpretrain today, and nothing here needs it',
            'pip uninstall -y mmcls',
        ),
        (
            dict(transformers='5.1.0', pycocotools='2.0.8'),
            'the multimodal models of mmpretrain do not work with '
            'transformers 5.1.0, so mmdskd leaves them out; nothing here '
            'needs them',
            'pip install "transformers<5"',
        ),
    ],
)
def test_package_that_breaks_others(
    installed, capsys, packages, message, command
):
    installed.update(packages)
    assert doctor.diagnose() == [('warning', message, command)]
    assert doctor.main() == 0
    assert 'All is well' not in capsys.readouterr().out


@pytest.mark.parametrize(
    'packages',
    [
        dict(mmcls='1.0.0rc6'),
        dict(transformers='5.1.0'),
        dict(transformers='4.49.0', pycocotools='2.0.8'),
    ],
)
def test_package_that_breaks_nothing(installed, packages, capsys):
    installed.update(packages)
    assert doctor.diagnose() == []
    doctor.main()
    name, version = next(iter(packages.items()))
    assert f'{name:<16}{version}\n' in capsys.readouterr().out


@pytest.mark.parametrize(
    'module, command',
    [
        ('transformers.models', 'pip uninstall -y transformers'),
        (
            'mmpretrain.models.utils.huggingface',
            'pip uninstall -y pycocotools',
        ),
        ('mmpretrain.models.multimodal.blip', 'pip uninstall -y pycocotools'),
    ],
)
def test_optional_package_that_an_import_ends_in(installed, module, command):
    installed['transformers'] = '4.99.0'
    try:
        exec(
            'raise TypeError("NoneType takes no arguments")',
            {'__name__': module},
        )
    except TypeError as error:
        text = doctor.explain(error, 'mmpretrain.models')
    assert text.startswith(
        'mmpretrain.models cannot be imported: TypeError: NoneType takes no '
        'arguments\nerror: '
    )
    assert 'transformers 4.99.0' in text
    assert text.endswith(f'\n    {command}')


def test_errors_come_first(installed):
    installed.update({'mmcv': '2.1.0', 'joblib': None})
    assert [finding.level for finding in doctor.diagnose()] == [
        'error',
        'warning',
    ]


def test_explains_a_failed_import(installed):
    text = doctor.explain(ImportError('No module named "x"'))
    assert 'ImportError: No module named "x"' in text
    assert 'The installed versions are not the reason' in text
    installed['joblib'] = None
    text = doctor.explain(ImportError('No module named "joblib"'))
    assert text.endswith('error: joblib is missing\n    pip install joblib')


def test_report_without_any_package(tmp_path):
    result = run(tmp_path, '-m', 'mmdskd.doctor')
    assert result.returncode == 1
    assert result.stderr == ''
    assert 'mmrazor         -\n' in result.stdout
    assert 'error: mmrazor is missing\n    pip install mmrazor==1.0.0\n' in (
        result.stdout
    )


def test_report_from_metadata_alone(tmp_path):
    """The packages are not there: the doctor must not import them."""
    install(tmp_path, GOOD)
    result = run(tmp_path, '-m', 'mmdskd.doctor')
    assert result.stderr == ''
    assert 'torch           2.14.1+cpu\n' in result.stdout
    assert 'error' not in result.stdout
    assert result.returncode == 0


def test_torchvision_of_another_torch_from_metadata(tmp_path):
    install(tmp_path, dict(GOOD, torch='2.13.0'))
    result = run(tmp_path, '-m', 'mmdskd.doctor')
    assert result.returncode == 1
    assert 'needs torch==2.14.1, but got 2.13.0' in result.stdout


def test_import_without_any_package_tells_the_commands(tmp_path):
    result = run(tmp_path, '-c', 'import mmdskd')
    assert result.returncode == 1
    message = result.stderr.rpartition('ImportError: mmdskd cannot be ')[2]
    assert "imported: ModuleNotFoundError: No module named 'torch'" in message
    assert 'error: mmrazor is missing\n    pip install mmrazor==' in message
