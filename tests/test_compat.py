import os
import subprocess
import sys
import warnings
from importlib import metadata

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.hub import get_config
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader
from mmengine.utils import digit_version
from mmrazor.registry import DATASETS, MODELS
from torch import nn

from mmdskd import compat
from mmdskd.utils import CheckpointError

OLD_TORCH = digit_version(torch.__version__) < digit_version('2.0')
STUDENT = dict(
    type='ImageClassifier',
    _scope_='mmpretrain',
    backbone=dict(type='ResNet', depth=18),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=512),
)


def distill(student=STUDENT, **kwargs):
    return dict(
        type='SingleTeacherDistill',
        _scope_='mmrazor',
        architecture=student,
        teacher=student,
        distiller=dict(type='ConfigurableDistiller'),
        **kwargs,
    )


# ---------------------------------------------------------------------------
# Versions
# ---------------------------------------------------------------------------
def test_old_torch_is_refused(monkeypatch):
    monkeypatch.setattr(torch, '__version__', '1.12.1+cpu')
    with pytest.raises(
        ImportError, match='torch should be >= 1.13, but got 1.12.1'
    ):
        compat.check_torch_version()


def test_new_torch_is_a_warning(monkeypatch):
    monkeypatch.setattr(torch, '__version__', '2.15.0')
    with pytest.warns(UserWarning, match='1.13 to 2.14, not on 2.15.0'):
        compat.check_torch_version()


@pytest.mark.parametrize('version', ['1.13.0', '1.13.1+cu117', '2.14.9'])
def test_tested_torch_is_silent(monkeypatch, version):
    monkeypatch.setattr(torch, '__version__', version)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        compat.check_torch_version()


def test_patches_may_run_twice():
    compat.apply_patches()
    before = dict(CheckpointLoader._schemes)
    compat.apply_patches()
    assert CheckpointLoader._schemes == before


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
        assert module.is_installed is compat.mmengine.is_installed
    for module in (mmengine.utils, config, package_utils, hub):
        assert module.get_installed_path is compat.mmengine.get_installed_path


def test_is_installed():
    assert compat.mmengine.is_installed('mmrazor')
    assert compat.mmengine.is_installed('mmcv')  # the module, of mmcv-lite
    assert compat.mmengine.is_installed('mmcv-lite')
    assert not compat.mmengine.is_installed('no_such_package')


def test_get_installed_path(tmp_path, monkeypatch):
    import mmrazor

    assert compat.mmengine.get_installed_path('mmrazor') == mmrazor.__path__[0]

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
    assert compat.mmengine.get_installed_path('far-package') == str(
        tmp_path / 'near'
    )

    with pytest.raises(RuntimeError, match='"namespace" .* namespace package'):
        compat.mmengine.get_installed_path('namespace')
    with pytest.raises(
        ModuleNotFoundError, match='"no_such_package" is not installed'
    ):
        compat.mmengine.get_installed_path('no_such_package')


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
        MODELS.build(distill(teacher_ckpt=path))
    with pytest.raises(error, match=message):
        tiny_runner(tmp_path, 1, load_from=path, resume=True).train()
    assert not (tmp_path / 'victim').exists()


# ---------------------------------------------------------------------------
# Quantization
# ---------------------------------------------------------------------------
@pytest.mark.skipif(OLD_TORCH, reason='works on torch < 2')
@pytest.mark.parametrize(
    'use',
    [
        'BackendConfigs["academic"]',
        '"academic" in BackendConfigs',
        'QConfigHandler({})',
        'QConfigHandler.check_qconfig({})',
        'get_native_backend_config()',
    ],
)
def test_use_of_quantization_says_why_not(use):
    from mmrazor import structures

    with pytest.raises(
        RuntimeError,
        match='quantization of MMRazor 1.0.0 needs torch 1.13, but got '
        'torch 2',
    ):
        eval(use, vars(structures))


@pytest.mark.skipif(OLD_TORCH, reason='works on torch < 2')
@pytest.mark.parametrize(
    'config',
    [
        dict(type='OpenVINOQuantizer', global_qconfig={}),
        dict(type='AcademicQuantizer', qconfig_mapping={}),
        dict(type='MMArchitectureQuant', architecture=STUDENT, quantizer=None),
    ],
)
def test_building_quantization_says_why_not(config):
    with pytest.raises(RuntimeError, match='Distillation, pruning and NAS'):
        MODELS.build(dict(config, _scope_='mmrazor'))


@pytest.mark.skipif(not OLD_TORCH, reason='gone on torch >= 2')
def test_quantization_is_left_alone_on_old_torch():
    from mmrazor.structures.quantization import BackendConfigs

    assert not isinstance(BackendConfigs, compat._Unavailable)
    assert 'academic' in BackendConfigs


@pytest.mark.parametrize('tracer', ['BackwardTracer', 'FxTracer'])
def test_pruning_still_works(tracer):
    from mmrazor.structures import export_fix_subnet

    model = MODELS.build(STUDENT)
    with DefaultScope.overwrite_default_scope('mmrazor'):
        mutator = MODELS.build(
            dict(
                type='ChannelMutator',
                channel_unit_cfg=dict(
                    type='L1MutableChannelUnit',
                    default_args=dict(choice_mode='ratio'),
                ),
                parse_cfg=dict(
                    type='ChannelAnalyzer',
                    demo_input=(1, 3, 32, 32),
                    tracer_type=tracer,
                ),
            )
        )
        mutator.prepare_from_supernet(model)
    mutator.set_choices({unit.name: 0.5 for unit in mutator.mutable_units})
    _, pruned = export_fix_subnet(model, slice_weight=True)
    assert pruned.backbone.layer1[0].conv1.weight.shape == (32, 32, 3, 3)
    assert pruned.head.fc.weight.shape == (10, 256)
    assert pruned(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


# ---------------------------------------------------------------------------
# In-place modules
# ---------------------------------------------------------------------------
class InplaceStudent(BaseModel):
    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm2d(3)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.relu(self.bn(inputs))


def test_recorded_batch_norm_has_negatives():
    from mmrazor.models.task_modules import ModuleOutputsRecorder

    model = MODELS.build(
        dict(
            type='SingleTeacherDistill',
            _scope_='mmrazor',
            architecture=InplaceStudent(),
            teacher=InplaceStudent(),
            distiller=dict(type='ConfigurableDistiller'),
        )
    )
    for network in (model.architecture, model.teacher):
        recorder = ModuleOutputsRecorder(source='bn')
        recorder.initialize(network)
        with recorder:
            network(torch.randn(4, 3, 8, 8))
        assert recorder.get_record_data().min() < 0


def test_the_guard_reaches_activations_inside_of_modules():
    """``ConvModule`` has ``inplace`` itself, and a child that has it."""
    student = dict(
        STUDENT,
        backbone=dict(type='MobileNetV2'),
        head=dict(type='LinearClsHead', num_classes=10, in_channels=1280),
    )
    plain = MODELS.build(student)
    assert any(
        module.inplace
        for module in plain.modules()
        if isinstance(module, nn.ReLU6)
    )
    model = MODELS.build(distill(student))
    assert not any(
        getattr(module, 'inplace', False) for module in model.modules()
    )


# ---------------------------------------------------------------------------
# Names of mmcls, and CRD
# ---------------------------------------------------------------------------
@pytest.mark.parametrize('mult_tem_square', [True, False])
def test_kd_soft_ce_loss_is_cross_entropy(mult_tem_square):
    """That of the teacher and the student, both softened."""
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 6, 5, dtype=torch.float64)
    loss = MODELS.build(
        dict(
            type='mmrazor.KDSoftCELoss',
            tau=4,
            mult_tem_square=mult_tem_square,
            loss_weight=0.5,
        )
    )
    p, q = (teacher / 4).softmax(1), (student / 4).softmax(1)
    expected = -(p * q.log()).sum(1).mean() * 0.5
    assert loss(student, teacher).item() == pytest.approx(
        (16 if mult_tem_square else 1) * expected.item()
    )


def test_functions_of_an_installed_mmcls_stay(monkeypatch):
    from mmrazor.datasets.transforms import formatting
    from mmrazor.models.losses import kd_soft_ce_loss

    monkeypatch.setattr(kd_soft_ce_loss, 'soft_cross_entropy', len)
    monkeypatch.setattr(formatting, 'to_tensor', len)
    compat.replace_mmcls()
    assert kd_soft_ce_loss.soft_cross_entropy is len
    assert formatting.to_tensor is len


@pytest.fixture
def crd_data():
    """Samples of CRD from the first digits, of which 0 and 1 are three, the
    others two."""
    return DATASETS.build(
        dict(
            type='mmrazor.CRDDataset',
            neg_num=5,
            percent=1.0,
            dataset=dict(
                type='mmdskd.Digits',
                indices=22,
                pipeline=[dict(type='mmrazor.PackCRDClsInputs')],
            ),
        )
    )


def test_crd_dataset_takes_classes_of_different_sizes(crd_data):
    labels = crd_data.dataset.get_gt_labels()
    assert len(set(np.bincount(labels))) > 1
    for index in range(len(crd_data)):
        packed = crd_data[index]
        assert packed['inputs'].shape == (1, 8, 8)
        sample = packed['data_samples']
        assert sample.gt_label.tolist() == [labels[index]]
        assert sample.sample_idx.dim() == 0 and sample.sample_idx == index
        positive, *negatives = sample.contrast_sample_idxs.tolist()
        assert positive == index and len(set(negatives)) == 5
        assert labels[index] not in labels[negatives]


def test_other_errors_of_crd_dataset_are_raised(crd_data, monkeypatch):

    def fail():
        raise ValueError('no labels')

    monkeypatch.setattr(crd_data.dataset, 'get_gt_labels', fail)
    with pytest.raises(ValueError, match='no labels'):
        crd_data._parse_fullset_contrast_info()


def test_crd_samples_get_to_the_device(crd_data):
    """Of MMEngine's preprocessor, as MMPretrain's moves labels only."""
    batch = dict(
        inputs=[crd_data[0]['inputs']],
        data_samples=[crd_data[0]['data_samples']],
    )
    for scope, moves in (('mmengine', True), ('mmpretrain', False)):
        type_ = 'ImgDataPreprocessor' if moves else 'ClsDataPreprocessor'
        preprocessor = MODELS.build(
            dict(type=f'{scope}.{type_}', mean=[0.0], std=[1.0])
        )
        (sample,) = preprocessor.to('meta')(batch)['data_samples']
        assert sample.sample_idx.is_meta is moves
        assert sample.contrast_sample_idxs.is_meta is moves


# ---------------------------------------------------------------------------
# The whole import
# ---------------------------------------------------------------------------
def run(code):
    return subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code],
        capture_output=True,
        text=True,
    )


def test_mmrazor_may_be_imported_first():
    result = run(
        'import mmrazor, mmdskd, mmrazor.models, mmrazor.engine\nprint("done")'
    )
    assert result.stdout.endswith('done\n'), result.stderr


def test_import_alone_builds_mmpretrain_models_in_mmrazor():
    result = run(
        'import mmdskd\n'
        'from mmengine.registry import MODELS\n'
        f'model = MODELS.build({distill()!r})\n'
        'print(type(model.architecture).__module__)'
    )
    assert result.stdout.endswith('mmpretrain.models.classifiers.image\n'), (
        result.stderr
    )


def test_broken_stack_is_explained():
    result = run('import sys\nsys.modules["mmrazor"] = None\nimport mmdskd')
    assert result.returncode == 1
    assert 'ImportError: mmdskd cannot be imported: ' in result.stderr
    assert 'python -m mmdskd.doctor' in result.stderr


@pytest.mark.skipif(
    sys.version_info < (3, 10), reason='Python 3.9 has no sys.orig_argv'
)
def test_patches_are_applied_under_dash_m_of_another_package(tmp_path):
    package = tmp_path / 'user_package'
    package.mkdir()
    (package / '__init__.py').write_text('import mmdskd\n')
    (package / 'run.py').write_text('import mmrazor.models\nprint("done")\n')
    result = subprocess.run(
        [sys.executable, '-W', 'ignore', '-m', 'user_package.run'],
        cwd=tmp_path,
        env=dict(
            os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path))
        ),
        capture_output=True,
        text=True,
    )
    assert result.stdout.endswith('done\n'), result.stderr


# ---------------------------------------------------------------------------
# Pruning
# ---------------------------------------------------------------------------
def test_group_fisher_units_can_be_built_from_what_they_tell():
    unit_class = MODELS.get('GroupFisherChannelUnit')
    unit = unit_class(
        num_channels=8, normalization_type='act', mutate_linear=True
    )
    unit.mutable_channel.mask[:3] = 0
    config = unit.config_template(with_init_args=True)
    assert config == dict(
        init_args=dict(
            num_channels=8, normalization_type='act', mutate_linear=True
        ),
        choice=5,
    )
    again = unit_class(**config['init_args'])
    assert (
        again.config_template(with_init_args=True)['init_args']
        == config['init_args']
    )
    assert 'init_args' not in unit.config_template()
