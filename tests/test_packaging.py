"""What a wheel and a source archive hold, and what the pages link to."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
METHODS = ('vanilla', 'kd', 'dskd', 'mix')
PACKED = (
    'mmdskd',
    'configs',
    'docs',
    'tools',
    'requirements',
    'resources',
    'tests',
    'setup.py',
    'pyproject.toml',
    'MANIFEST.in',
    'Makefile',
    'model-index.yml',
    'CHANGELOG.md',
    'CITATION.cff',
    'CONTRIBUTING.md',
    'LICENSE',
    'README.md',
    'SECURITY.md',
)
LOAD_CONFIGS = """
import site
import sys
site.addsitedir({site!r})
sys.path.extend({others!r})

import mmdskd
from mmengine.config import Config
from mmengine.hub import get_config

assert mmdskd.__file__.startswith({place!r}), mmdskd.__file__
assert get_config({name!r}).model
with open('leaf.py', 'w') as file:
    file.write('_base_ = ' + repr({name!r}))
assert Config.fromfile('leaf.py').model
print(get_config('mmpretrain::resnet/resnet18_8xb32_in1k.py').model.type)
"""


def pip(*arguments, cwd):
    subprocess.run(
        [sys.executable, '-m', 'pip', '--quiet', *arguments],
        check=True,
        cwd=cwd,
    )


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    """A copy of the repository: a build leaves files behind."""
    source = tmp_path_factory.mktemp('source')
    for name in PACKED:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name,
                source / name,
                ignore=shutil.ignore_patterns('.mim', '__pycache__'),
            )
        else:
            shutil.copy(ROOT / name, source / name)
    return source


@pytest.fixture(scope='module')
def wheel(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp('wheel')
    pip(
        'wheel',
        '--no-deps',
        '--no-build-isolation',
        '--wheel-dir',
        str(folder),
        '.',
        cwd=source,
    )
    (path,) = folder.glob('mmdskd-*.whl')
    return path


def load_configs(tmp_path, site, place):
    """Load configs by name from ``site``, not from an mmdskd elsewhere."""
    config = next((ROOT / 'configs' / 'dskd' / 'digits').glob('*.py'))
    code = LOAD_CONFIGS.format(
        site=str(site),
        others=[
            path for path in sys.path if not Path(path, 'mmdskd').exists()
        ],
        name=f'mmdskd::dskd/digits/{config.name}',
        place=str(place),
    )
    env = {key: os.environ[key] for key in os.environ if key != 'PYTHONPATH'}
    # -S: an mmdskd that is installed in editable mode would come first.
    result = subprocess.run(
        [sys.executable, '-S', '-W', 'ignore', '-c', code],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
    )
    assert result.stdout.endswith('ImageClassifier\n'), result.stderr


def test_wheel_holds_all_files(wheel, source):
    packed = set(zipfile.ZipFile(wheel).namelist())
    for folder, start in (
        ('mmdskd', ''),
        ('configs', 'mmdskd/.mim/'),
        ('tools', 'mmdskd/.mim/'),
    ):
        files = {
            start + path.relative_to(source).as_posix()
            for pattern in ('*.py', '*.yml', '*.sh')
            for path in (source / folder).rglob(pattern)
        }
        assert files and files <= packed
    assert 'mmdskd/py.typed' in packed
    assert 'mmdskd/.mim/model-index.yml' in packed
    assert not any('__pycache__' in name for name in packed)


@pytest.mark.slow
def test_source_archive_holds_all_files(source, tmp_path):
    subprocess.run(
        [
            sys.executable,
            'setup.py',
            '--quiet',
            'sdist',
            '--dist-dir',
            str(tmp_path),
        ],
        check=True,
        cwd=source,
    )
    (archive,) = tmp_path.iterdir()
    with tarfile.open(archive) as file:
        names = {name.partition('/')[2] for name in file.getnames()}
    files = {
        path.relative_to(source).as_posix()
        for name in PACKED
        for path in (source / name, *(source / name).rglob('*'))
        if path.is_file() and not {'.mim', '__pycache__'} & set(path.parts)
    }
    assert files and files <= names


def test_wheel_holds_what_mim_looks_for(wheel):
    """The launchers and ``mim run`` by the name of a script, configs by the
    name of the file: each name once."""
    paths = [
        name.partition('/.mim/')[2]
        for name in zipfile.ZipFile(wheel).namelist()
        if '/.mim/' in name and name.endswith('.py')
    ]
    assert {'tools/train.py', 'tools/test.py'} <= set(paths)
    leaves = [
        Path(path).name
        for path in paths
        if not path.startswith('configs/_base_/')
    ]
    assert len(leaves) == len(set(leaves))


def test_tools_take_what_mim_passes():
    """It passes ``--launcher``, and ``--gpus`` if the help names it."""
    for tool in ('train.py', 'test.py'):
        usage = subprocess.run(
            [sys.executable, str(ROOT / 'tools' / tool), '-h'],
            check=True,
            capture_output=True,
            text=True,
            env=dict(os.environ, PYTHONPATH=str(ROOT)),
        ).stdout
        assert '--launcher' in usage and '--gpus' not in usage


def test_wheel_forces_neither_openmmlab_nor_onedl(wheel):
    """Each would overwrite the other; the extras name them."""
    archive = zipfile.ZipFile(wheel)
    (name,) = (
        name for name in archive.namelist() if name.endswith('METADATA')
    )
    lines = [
        line
        for line in archive.read(name).decode().splitlines()
        if line.startswith('Requires-Dist')
    ]
    required = [line for line in lines if 'extra' not in line]
    assert any('mmrazor==1.0.0' in line for line in required)
    assert any('joblib' in line for line in required)
    for module in ('mmcv', 'mmengine', 'mmpretrain'):
        assert not any(module in line for line in required)
        for extra, start in (('onedl', 'onedl-'), ('openmmlab', '')):
            assert any(
                line.startswith(f'Requires-Dist: {start}{module}')
                and re.search(rf'extra == .{extra}.$', line)
                for line in lines
            )


@pytest.mark.slow
def test_configs_of_a_wheel(wheel, tmp_path):
    site = tmp_path / 'site'
    pip(
        'install', '--no-deps', '--target', str(site), str(wheel), cwd=tmp_path
    )
    load_configs(tmp_path, site, site)


@pytest.mark.slow
def test_configs_of_an_editable_install(source, tmp_path):
    site = tmp_path / 'site'
    pip(
        'install',
        '--no-deps',
        '--no-build-isolation',
        '--target',
        str(site),
        '--editable',
        '.',
        cwd=source,
    )
    assert (source / 'mmdskd' / '.mim' / 'configs').resolve() == (
        source / 'configs'
    ).resolve()
    load_configs(tmp_path, site, source)


def load_metafiles():
    from mmengine.fileio import load

    return {
        metafile: load(ROOT / metafile)
        for metafile in load(ROOT / 'model-index.yml')['Import']
    }


def configs_of(method):
    return sorted(
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / 'configs' / method).rglob('*.py')
    )


def test_model_index_names_files_that_exist():
    for metafile, content in load_metafiles().items():
        (collection,) = content['Collections']
        assert (ROOT / collection['README']).parent == (ROOT / metafile).parent
        for model in content['Models']:
            assert model['In Collection'] == collection['Name']
            assert model['Name'] == Path(model['Config']).stem
            configs = [model['Config']] + [
                model['Metadata'][network]['Config']
                for network in ('Teacher', 'Student')
                if network in model['Metadata']
            ]
            for config in configs:
                assert (
                    config.startswith('mmpretrain::')
                    or (ROOT / config).is_file()
                ), config


@pytest.mark.parametrize('method', METHODS)
def test_every_config_is_once_in_the_metafile(method):
    models = load_metafiles()[f'configs/{method}/metafile.yml']['Models']
    assert sorted(model['Config'] for model in models) == configs_of(method)


@pytest.mark.parametrize('method', METHODS)
def test_every_config_has_one_row_in_the_readme(method):
    folder = ROOT / 'configs' / method
    linked = []
    for line in (folder / 'README.md').read_text().splitlines():
        if line.startswith('|'):
            linked += re.findall(r'\]\(([^)]+\.py)\)', line)
    assert sorted(f'configs/{method}/{path}' for path in linked) == configs_of(
        method
    )


@pytest.mark.parametrize(
    'page',
    [
        'README.md',
        *[
            f'docs/{page.name}'
            for page in sorted((ROOT / 'docs').glob('*.md'))
        ],
        *[f'configs/{method}/README.md' for method in METHODS],
    ],
)
def test_links_of_a_page(page):
    page = ROOT / page
    for path, heading in re.findall(
        r'\]\((?!http)([^)#]*)(?:#([^)]+))?\)', page.read_text()
    ):
        target = page.parent / path if path else page
        assert target.exists(), path
        if heading:
            headings = re.findall('^#+ (.*)$', target.read_text(), re.M)
            assert heading in [
                re.sub(r'[^\w -]', '', text).lower().replace(' ', '-')
                for text in headings
            ]
