"""Names of configs of packages that are not there: nothing is installed."""

import subprocess

import mmengine.utils
import pytest
from mmengine.config import Config
from mmengine.hub import get_config, get_model
from mmengine.hub import hub as hub_module
from mmrazor.registry import MODELS

from mmdskd.compat import mmengine as patches
from mmdskd.utils.config import load_config
from mmdskd.utils.package_names import PackageNameError

RESNET = 'resnet/resnet18_8xb32_in1k.py'
# What the messages say to write
ANSWERS = {
    f'mmselfsup::{RESNET}': 'mmselfsup is mmpretrain today. Nothing is '
    f'installed: write "mmpretrain::{RESNET}"$',
    'mmcls::resnet/other.py': 'mmcls is mmpretrain today. Nothing is '
    'installed: write a config of MMPretrain, such as "mmpretrain::resnet/',
    'mmcls::resnet': 'mmcls is mmpretrain today',
    'mmcls::': 'mmcls is mmpretrain today',
    'mmselfsup::a/b.py': 'mmselfsup is mmpretrain today',
    'mmdet::a/b.py': 'mmdet is not installed. Nothing is installed: write a ',
    'mmseg::a/b.py': 'mmsegmentation is not installed',
    f'mim::{RESNET}': 'there is no such package. Nothing is installed: write '
    f'"mmpretrain::{RESNET}"$',
    f'mmpretrian::{RESNET}': 'there is no such package. Nothing is '
    f'installed: write "mmpretrain::{RESNET}"$',
    '::': 'there is no such package',
}


@pytest.fixture(autouse=True)
def no_installation(monkeypatch):
    """Fail when a process is started."""

    def refuse(*args, **kwargs):
        raise AssertionError(f'started {args}')

    monkeypatch.setattr(subprocess, 'check_call', refuse)
    monkeypatch.setattr(subprocess, 'Popen', refuse)


@pytest.mark.parametrize('name', ANSWERS)
def test_answer_says_what_to_write(name, tmp_path):
    answer = f'but {name!r} is not: {ANSWERS[name]}'
    for function in (get_config, load_config, get_model):
        with pytest.raises(PackageNameError, match=answer):
            function(name)
    leaf = tmp_path / 'leaf.py'
    leaf.write_text(f'_base_ = [{name!r}]\n')
    with pytest.raises(FileNotFoundError, match=answer):
        Config.fromfile(leaf)
    with pytest.raises(
        ValueError, match=f'^{leaf}: PackageNameError: .*{answer}'
    ):
        load_config(str(leaf))


def test_networks_of_an_algorithm(kd_config):
    kd_config.model.teacher = dict(cfg_path=f'mmselfsup::{RESNET}')
    with pytest.raises(
        PackageNameError, match=f'write "mmpretrain::{RESNET}"'
    ):
        MODELS.build(kd_config.model)


@pytest.mark.parametrize(
    'onedl, package, name',
    [
        (None, 'mmdet', 'mmdet'),
        ('0.10.12', 'mmdet', 'onedl-mmdetection'),
        ('0.10.12', 'mmpose', 'mmpose'),  # OneDL has none
    ],
)
def test_mmengine_installs_nothing_itself(onedl, package, name, monkeypatch):
    monkeypatch.setattr(patches, 'installed_version', lambda _: onedl)
    monkeypatch.setattr(patches, 'is_installed', lambda x: x == 'mmrazor')
    with pytest.raises(
        ModuleNotFoundError, match=f'run "pip install {name}" yourself'
    ):
        hub_module.install_package(package)
    hub_module.install_package('mmrazor')  # is there
    assert hub_module.install_package is patches.refuse_to_install
    # What others may call on purpose stays.
    assert mmengine.utils.install_package is not patches.refuse_to_install


def test_patch_may_run_twice():
    before = hub_module._get_package_and_cfg_path
    patches.refuse_missing_packages(hub_module)
    assert hub_module._get_package_and_cfg_path is before


@pytest.mark.parametrize(
    'version, message',
    [('0.25.0', 'mmcls is mmpretrain today'), ('1.0.0rc6', None)],
)
def test_mmcls_that_is_installed(version, message, tmp_path, monkeypatch):
    """One of 0.x can't be used beside MMRazor 1.0.0."""
    info = tmp_path / f'mmcls-{version}.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(
        f'Metadata-Version: 2.1\nName: mmcls\nVersion: {version}\n'
    )
    folder = tmp_path / 'mmcls/.mim/configs/a'
    folder.mkdir(parents=True)
    (tmp_path / 'mmcls/__init__.py').touch()
    (tmp_path / 'mmcls/.mim/model-index.yml').write_text('Import: []')
    (folder / 'b.py').write_text('c = 1')
    monkeypatch.syspath_prepend(str(tmp_path))
    if message:
        with pytest.raises(PackageNameError, match=message):
            load_config('mmcls::a/b.py')
    else:
        assert load_config('mmcls::a/b.py').to_dict() == dict(c=1)
