import inspect
import os
import sys
from importlib import metadata
from importlib.util import find_spec
from types import ModuleType

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.hub import get_config
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmrazor.registry import MODELS
from torch import nn

from mmdskd.compat.mmengine import (
    find_modules_without_pkgutil,
    get_installed_path,
    is_installed,
)
from mmdskd.datasets import Digits
from mmdskd.utils import CheckpointError


# ---------------------------------------------------------------------------
# Packages and config paths
# ---------------------------------------------------------------------------
def test_config_paths_need_no_pkg_resources(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, 'pkg_resources', None)
    name = 'mmpretrain::resnet/resnet18_8xb32_in1k.py'
    assert get_config(name).model.type == 'ImageClassifier'

    leaf = tmp_path / 'leaf.py'
    leaf.write_text(f'_base_ = {name!r}')
    assert Config.fromfile(leaf).model.backbone.depth == 18


def test_every_user_of_the_package_functions_is_patched():
    import mmengine
    from mmengine.config import config
    from mmengine.hub import hub
    from mmengine.utils import package_utils

    for module in (mmengine.utils, config, package_utils):
        assert module.is_installed is is_installed
    for module in (mmengine.utils, config, package_utils, hub):
        assert module.get_installed_path is get_installed_path


def test_is_installed():
    assert is_installed('mmrazor')
    assert is_installed('mmcv')  # the module, of mmcv-lite
    assert is_installed('ordered-set')  # the distribution
    assert not is_installed('no_such_package')


def test_package_of_onedl(tmp_path, monkeypatch):
    """By the name on the index, whose module is named otherwise."""
    info = tmp_path / 'onedl_mmsegmentation-1.3.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(
        'Metadata-Version: 2.1\nName: onedl-mmsegmentation\nVersion: 1.3\n'
    )
    (info / 'top_level.txt').write_text('mmseg\n')
    (tmp_path / 'mmseg').mkdir()
    (tmp_path / 'mmseg' / '__init__.py').touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert is_installed('mmsegmentation')
    assert get_installed_path('mmsegmentation') == str(tmp_path / 'mmseg')


def test_operators_are_looked_for_without_pkgutil(monkeypatch):
    """As on Python 3.14."""
    from mmcv.utils import ext_loader
    from mmengine.utils.dl_utils import misc

    for module in (misc, ext_loader):
        if hasattr(module, 'pkgutil'):  # not of OneDL
            monkeypatch.setattr(module, 'pkgutil', ModuleType('pkgutil'))
        find_modules_without_pkgutil(module)
    has_operators = find_spec('mmcv._ext') is not None
    assert misc.mmcv_full_available() is has_operators
    assert ext_loader.check_ops_exist() is has_operators


def test_get_installed_path(tmp_path, monkeypatch):
    import mmrazor

    assert get_installed_path('mmrazor') == mmrazor.__path__[0]

    # A package whose module has another name
    (tmp_path / 'near').mkdir()
    (tmp_path / 'near' / '__init__.py').touch()
    info = tmp_path / 'far_package-1.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text('Name: far-package\nVersion: 1.0\n')
    (info / 'top_level.txt').write_text('near\n')
    (tmp_path / 'namespace').mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert metadata.version('far-package') == '1.0'
    assert get_installed_path('far-package') == str(tmp_path / 'near')

    with pytest.raises(RuntimeError, match='"namespace" .* namespace package'):
        get_installed_path('namespace')
    with pytest.raises(
        ModuleNotFoundError, match='"no_such_package" is not installed'
    ):
        get_installed_path('no_such_package')


# ---------------------------------------------------------------------------
# Checkpoints of MMEngine
# ---------------------------------------------------------------------------
class TinyModel(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, inputs, mode='tensor'):
        output = self.layer(torch.stack(inputs))
        return dict(loss=output.square().mean()) if mode == 'loss' else output


def tiny_runner(work_dir, max_epochs, **kwargs):
    data = [dict(inputs=torch.full((2,), float(i))) for i in range(4)]
    return Runner(
        TinyModel(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=2,
            dataset=data,
            sampler=dict(type='DefaultSampler', shuffle=True),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=max_epochs),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1)),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.1, end=1),
            dict(type='MultiStepLR', milestones=[1, 2]),
            dict(type='CosineAnnealingLR', T_max=3),
        ],
        custom_hooks=[dict(type='EMAHook')],
        experiment_name=f'tiny_{max_epochs}_{len(kwargs)}',
        **kwargs,
    )


class Witness(Hook):
    """Notes the state in which the training starts."""

    def before_train(self, runner):
        self.progress = runner.epoch, runner.iter
        self.loss = runner.message_hub.log_scalars['train/loss'].current()
        self.weight = runner.model.layer.weight.clone()


def test_resume_of_a_real_run(tmp_path):
    first = tiny_runner(tmp_path, 1)
    first.train()
    witness = Witness()
    runner = tiny_runner(
        tmp_path, 2, resume=True, load_from=str(tmp_path / 'epoch_1.pth')
    )
    runner.register_hook(witness, priority='LOWEST')
    runner.train()
    assert witness.progress == (1, 2)
    assert witness.loss == first.message_hub.get_scalar('train/loss').current()
    assert torch.equal(witness.weight, first.model.layer.weight)
    assert runner.epoch == 2


@pytest.mark.skipif(
    not hasattr(torch.serialization, 'add_safe_globals'),
    reason='torch < 2.4 has no list of allowed classes',
)
def test_plain_torch_load_of_a_real_run(tmp_path):
    tiny_runner(tmp_path, 1).train()
    checkpoint = torch.load(tmp_path / 'epoch_1.pth', weights_only=True)
    buffer = checkpoint['message_hub']['log_scalars']['train/loss']
    assert type(buffer) is HistoryBuffer


class RunsCode:
    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def bad_checkpoint(tmp_path, kind):
    path = tmp_path / f'{kind}.pth'
    if kind == 'code':
        torch.save(dict(state_dict=RunsCode(str(tmp_path / 'victim'))), path)
    elif kind == 'truncated':
        torch.save(dict(state_dict=torch.zeros(9999)), path)
        path.write_bytes(path.read_bytes()[:3000])
    return str(path)


@pytest.mark.parametrize(
    'kind, error, message',
    [
        ('missing', FileNotFoundError, 'missing.pth" does not exist'),
        ('truncated', CheckpointError, 'truncated.pth" cannot be read'),
        ('code', CheckpointError, 'was not loaded: it would run code'),
    ],
)
def test_bad_checkpoint_of_teacher_and_resume(tmp_path, kind, error, message):
    path = bad_checkpoint(tmp_path, kind)
    with pytest.raises(error, match=message):
        MODELS.build(
            dict(
                type='SingleTeacherDistill',
                _scope_='mmrazor',
                architecture=TinyModel(),
                teacher=TinyModel(),
                teacher_ckpt=path,
                distiller=dict(type='ConfigurableDistiller'),
            )
        )
    with pytest.raises(error, match=message):
        tiny_runner(tmp_path, 1, load_from=path, resume=True).train()
    assert not (tmp_path / 'victim').exists()


# ---------------------------------------------------------------------------
# Data sets
# ---------------------------------------------------------------------------
def test_parts_of_data_sets_do_not_remember_one_another():
    copy_part = BaseDataset._copy_without_annotation
    # Tests import MMEngine anew, so that it may be patched twice.
    (memo,) = inspect.unwrap(copy_part).__defaults__
    before = dict(memo or {})  # OneDL has mended it
    part = Digits(pipeline=[]).get_subset(2)
    assert len(part) == 2
    assert (memo or {}) == before
    own = {}
    copied = copy_part(part, own)
    assert own[id(part)] is copied
