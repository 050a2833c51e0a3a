import sys
from importlib import import_module

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.utils import digit_version
from mmrazor.registry import DATASETS, MODELS
from torch import nn

from mmdskd.compat import mmrazor as patches

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

    assert not isinstance(BackendConfigs, patches._Unavailable)
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


@pytest.fixture
def optional_package(tmp_path, monkeypatch):
    """Write the ``__init__.py`` of an mmcls that comes before all others."""
    for name in list(sys.modules):
        if name.partition('.')[0] == 'mmcls':
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / 'mmcls').mkdir()
    yield (tmp_path / 'mmcls' / '__init__.py').write_text
    sys.modules.pop('mmcls', None)


def test_broken_mmcls_counts_as_not_installed(optional_package):
    optional_package('assert False, "MMCV==2.1.0 is incompatible"')
    with pytest.raises(
        ImportError, match='^AssertionError: MMCV==2.1.0 is incompatible$'
    ) as error:
        import_module('mmcls')
    assert isinstance(error.value.__cause__, AssertionError)
    assert 'mmcls' not in sys.modules


def test_missing_parts_of_mmcls_are_reported_as_they_are(optional_package):
    optional_package('import no_such_package')
    with pytest.raises(
        ModuleNotFoundError, match="^No module named 'no_such_package'$"
    ):
        import_module('mmcls')


def test_working_mmcls_is_imported(optional_package):
    optional_package('VALUE = 3')
    assert import_module('mmcls').VALUE == 3


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
