import os
import subprocess
import sys
from pathlib import Path

import pytest
from stacks import ONEDL, OPENMMLAB, REQUIREMENTS, make

import mmdskd
from mmdskd.doctor import Stack, explain, main

ROOT = Path(mmdskd.__file__).parents[1]


def install(folder, packages, requirements=REQUIREMENTS):
    """Write the metadata of packages that are not there."""
    for name, version in packages.items():
        info = folder / f'{name.replace("-", "_")}-{version}.dist-info'
        info.mkdir()
        lines = [f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}']
        if name == 'torchvision':
            lines += [f'Requires-Dist: {text}' for text in requirements]
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


def test_report(capsys):
    assert main(make()) == 0
    output = capsys.readouterr().out
    assert output.startswith(
        'line              OpenMMLab\npython            3.12.1\n'
    )
    assert 'mmcv-lite         2.1.0\n' in output
    assert 'scikit-learn      -\n' in output
    assert 'timm' not in output
    assert output.endswith('\n\nAll is well.\n')


def test_report_of_onedl(capsys):
    changes = {'onedl-mmpretrain': None, 'timm': '1.0.31', 'onnx': '1.23.2'}
    assert main(make(ONEDL, changes)) == 1
    output = capsys.readouterr().out
    assert output.startswith('line              OneDL\n')
    assert 'onedl-mmengine    0.10.12\n' in output
    assert 'onedl-mmpretrain  -\n' in output
    assert 'timm              1.0.31\nonnx              1.23.2\n' in output
    assert '\nmmengine ' not in output
    assert output.endswith(
        'error: onedl-mmpretrain is missing\n'
        '    pip install "onedl-mmpretrain>=1.1"\n'
    )


def test_warnings_are_no_failure(capsys):
    assert main(make(changes=dict(mmcls='0.25.0'))) == 0
    output = capsys.readouterr().out
    assert 'mmcls             0.25.0\n' in output
    assert 'All is well' not in output


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
def test_optional_package_that_an_import_ends_in(module, command):
    try:
        exec(
            'raise TypeError("NoneType takes no arguments")',
            {'__name__': module},
        )
    except TypeError as error:
        text = explain(
            error,
            'mmpretrain.models',
            make(changes=dict(transformers='4.99.0')),
        )
    assert text.startswith(
        'mmpretrain.models cannot be imported: TypeError: NoneType takes no '
        'arguments\nerror: '
    )
    assert 'transformers 4.99.0' in text
    assert text.endswith(f'\n    {command}')


def test_explains_a_failed_import():
    error = ImportError('No module named "x"')
    text = explain(error, stack=make())
    assert 'ImportError: No module named "x"' in text
    assert 'The installed versions are not the reason' in text
    text = explain(error, stack=make(changes=dict(joblib=None)))
    assert text.endswith('error: joblib is missing\n    pip install joblib')


def test_report_without_any_package(tmp_path):
    result = run(tmp_path, '-m', 'mmdskd.doctor')
    assert result.returncode == 1
    assert result.stderr == ''
    assert 'mmrazor           -\n' in result.stdout
    assert 'error: mmrazor is missing\n    pip install mmrazor==1.0.0\n' in (
        result.stdout
    )


@pytest.mark.parametrize(
    'packages, line', [(OPENMMLAB, 'OpenMMLab'), (ONEDL, 'OneDL')]
)
def test_report_from_metadata_alone(tmp_path, packages, line):
    """The packages are not there: the doctor must not import them."""
    install(tmp_path, packages)
    (tmp_path / 'mmengine-0.9.dist-info').mkdir()  # rest of a removal
    result = run(tmp_path, '-m', 'mmdskd.doctor')
    assert result.stderr == ''
    assert f'line              {line}\n' in result.stdout
    assert 'torch             2.14.1+cpu\n' in result.stdout
    assert 'error' not in result.stdout
    assert result.returncode == 0


def test_torchvision_of_another_torch_from_metadata(tmp_path):
    install(tmp_path, dict(OPENMMLAB, torch='2.13.0'))
    result = run(tmp_path, '-m', 'mmdskd.doctor')
    assert result.returncode == 1
    assert 'needs torch==2.14.1, but got 2.13.0' in result.stdout


def test_import_without_any_package_tells_the_commands(tmp_path):
    result = run(tmp_path, '-c', 'import mmdskd')
    assert result.returncode == 1
    message = result.stderr.rpartition('ImportError: mmdskd cannot be ')[2]
    assert "imported: ModuleNotFoundError: No module named 'torch'" in message
    assert 'error: mmrazor is missing\n    pip install mmrazor==' in message


def test_failing_import_beside_both_lines_tells_the_command(tmp_path):
    install(tmp_path, {**ONEDL, 'mmengine': '0.10.7'})
    result = run(tmp_path, '-c', 'import mmdskd')
    assert (
        'error: mmengine and onedl-mmengine are installed together, and '
        "overwrite one another's files\n"
        '    pip uninstall -y mmengine onedl-mmengine && '
        'pip install "onedl-mmengine>=0.10,<1.0"\n' in result.stderr
    )


def test_opencv_of_conda_is_one(tmp_path, monkeypatch):
    """conda-forge writes the metadata of two packages for it."""
    names = ('opencv-python', 'opencv-python-headless')
    install(tmp_path, dict.fromkeys(names, '4.12.0'))
    for folder in tmp_path.glob('*.dist-info'):
        (folder / 'INSTALLER').write_text('conda\n')
    monkeypatch.setattr(sys, 'path', [str(tmp_path)])
    assert Stack.read().opencv == ['opencv-python']


@pytest.mark.parametrize(
    'config, packages, has_uv',
    [
        ('home = /usr/bin\nuv = 0.9.5\n', {}, True),
        ('home = /usr/bin\nuv = 0.9.5\n', {'pip': '26.0'}, False),
        ('home = /usr/bin\nversion = 3.12.1\n', {}, False),
        (None, {}, False),
    ],
)
def test_environment_of_uv(tmp_path, monkeypatch, config, packages, has_uv):
    install(tmp_path, packages)
    if config is not None:
        (tmp_path / 'pyvenv.cfg').write_text(config)
    monkeypatch.setattr(sys, 'path', [str(tmp_path)])
    monkeypatch.setattr(sys, 'prefix', str(tmp_path))
    assert Stack.read().has_uv is has_uv


def test_what_is_installed_here(tmp_path, monkeypatch):
    (tmp_path / 'mmcv').mkdir()  # no package
    (tmp_path / 'mmengine').mkdir()
    (tmp_path / 'mmengine' / '__init__.py').write_text('raise SystemExit')
    (tmp_path / 'mmengine' / 'version.py').write_text("__version__ = '0.9'\n")
    (tmp_path / 'mmpretrain.py').touch()
    install(tmp_path, {'Some_odd.Name': '1.0', 'torchvision': '0.29.1'})
    monkeypatch.setattr(sys, 'path', [str(tmp_path)])
    for name in (*Stack.read().modules, 'mmcv'):
        monkeypatch.delitem(sys.modules, name, raising=False)
    stack = Stack.read()
    assert stack.versions == {'some-odd-name': '1.0', 'torchvision': '0.29.1'}
    assert list(stack.requirements) == list(REQUIREMENTS)
    assert stack.modules == dict(mmengine='0.9', mmpretrain='')
    assert stack.python == sys.version_info[:3]
