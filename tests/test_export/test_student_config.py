import copy
import json
import os
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.structures import DataSample

from mmdskd.export.student_config import make_student_config
from mmdskd.export.student_weights import extract_student, student_path
from mmdskd.utils.config import add_import
from mmdskd.utils.files import (
    save_checkpoint_atomically,
    save_config_atomically,
)


class Version(str):
    """As torch.__version__: refused by weights_only."""


def use_mmpretrain_only(kd_config):
    for name in ('train', 'val', 'test'):
        kd_config[f'{name}_dataloader'].dataset.type = 'mmpretrain.MNIST'
    architecture = kd_config.model.architecture
    architecture.backbone = dict(
        type='ResNet',
        depth=18,
        in_channels=1,
        stem_channels=4,
        base_channels=4,
    )
    architecture.head = dict(
        type='LinearClsHead', num_classes=10, in_channels=32
    )


def checkpoint():
    state_dict = OrderedDict(
        {
            'architecture.fc.weight': torch.ones(2, 3),
            'architecture.architecture.bias': torch.ones(1),
            'architecture.data_preprocessor.scale': torch.zeros(1),
            'data_preprocessor.scale': torch.ones(1),
            'data_preprocessor.augments._extra_state': torch.tensor([3, 7]),
            'teacher.fc.weight': torch.ones(4, 3),
            'distiller.connectors.heads.0.weight': torch.ones(1),
        }
    )
    state_dict._metadata = OrderedDict(
        {
            '': dict(version=1),
            'architecture': dict(version=2),
            'architecture.fc': dict(version=3),
            'architecture.data_preprocessor': dict(version=4),
            'data_preprocessor': dict(version=5),
            'data_preprocessor.augments': dict(version=1),
            'teacher': dict(version=6),
        }
    )
    meta = dict(
        epoch=3,
        seed=np.int64(7),
        cfg='model = dict()',
        version=Version('1.0'),
        dataset_meta=dict(
            classes=('a', 'b'),
            palette=np.eye(2, dtype=int),
            extra={'c'},
            none=None,
        ),
    )
    return dict(meta=meta, state_dict=state_dict, optimizer={}, message_hub={})


def test_student_path():
    assert student_path('/a.b/epoch_1.pth') == '/a.b/epoch_1_student.pth'


def test_extract_student():
    source = checkpoint()
    student = extract_student(source)
    assert set(student) == {'meta', 'state_dict'}
    assert list(student['state_dict']) == [
        'fc.weight',
        'architecture.bias',
        'data_preprocessor.scale',
    ]
    assert student['state_dict']['data_preprocessor.scale'] == 1
    assert student['state_dict']._metadata == {
        '': dict(version=2),
        'fc': dict(version=3),
        'data_preprocessor': dict(version=5),
    }
    assert len(source['state_dict']) == 7
    assert source['meta']['seed'].dtype == np.int64


def test_meta_is_of_builtin_types(tmp_path):
    path = str(tmp_path / 'student.pth')
    save_checkpoint_atomically(extract_student(checkpoint()), path)
    meta = torch.load(path, weights_only=True)['meta']
    assert type(meta.pop('mmdskd_version')) is str
    assert meta == dict(
        epoch=3,
        seed=7,
        cfg='model = dict()',
        version='1.0',
        dataset_meta=dict(
            classes=('a', 'b'),
            palette=[[1, 0], [0, 1]],
            extra=['c'],
            none=None,
        ),
    )
    assert type(meta['version']) is str


def test_meta_names_the_student_config():
    cfg = Config(dict(model=dict(type='Student')))
    assert extract_student(checkpoint(), cfg)['meta']['cfg'] == cfg.pretty_text
    without = dict(state_dict=checkpoint()['state_dict'])
    assert set(extract_student(without)['meta']) == {'mmdskd_version'}


@pytest.mark.parametrize(
    'value, found',
    [
        ([1], 'list'),
        (dict(b=1, a=2), r"\['a', 'b'\]"),
        (dict(state_dict=[1]), r"\['state_dict'\]"),
    ],
)
def test_no_checkpoint(value, found):
    with pytest.raises(TypeError, match=f'"state_dict".*got {found}'):
        extract_student(value)


def test_no_student():
    plain = {'head.fc.weight': 1, 'backbone.a': 1, 'architecture_': 1}
    with pytest.raises(
        ValueError,
        match=r"\['architecture_', 'backbone', 'head'\].*plain network",
    ):
        extract_student(dict(state_dict=plain))


def test_config_keeps_what_testing_and_training_need(kd_config):
    before = kd_config.pretty_text
    student = make_student_config(kd_config)
    assert kd_config.pretty_text == before
    for key in (
        'default_scope',
        'train_dataloader',
        'val_dataloader',
        'test_dataloader',
        'train_cfg',
        'val_cfg',
        'test_cfg',
        'val_evaluator',
        'test_evaluator',
        'optim_wrapper',
        'default_hooks',
        'env_cfg',
        'randomness',
        'custom_imports',
    ):
        assert student[key] == kd_config[key], key
    assert student.custom_hooks == []
    assert 'teacher' not in student.pretty_text
    assert 'work_dir' not in student
    expected = kd_config.model.architecture.to_dict()
    expected['data_preprocessor'] = kd_config.model.data_preprocessor
    assert student.model == expected


def test_config_keeps_other_hooks_and_loops(kd_config):
    kd_config.custom_hooks = [
        dict(type='EMAHook'),
        dict(type='mmdskd.StudentCheckpointHook'),
        dict(type='mmpretrain.PreciseBNHook', num_samples=10),
        dict(type='StudentCheckpointHook', _scope_='mmdskd'),
        dict(type='mmrazor.StopDistillHook', stop_epoch=1),
        dict(type='StopDistillHook', _scope_='mmrazor', stop_epoch=1),
    ]
    kd_config.default_hooks.student = dict(
        type='mmdskd.LossWeightSchedulerHook'
    )
    kd_config.default_hooks.timer = None
    kd_config.val_cfg = dict(
        type='mmrazor.SingleTeacherDistillValLoop', fp16=True
    )
    kd_config.test_cfg = dict(type='mmengine.TestLoop')
    student = make_student_config(kd_config)
    assert [hook.type for hook in student.custom_hooks] == [
        'EMAHook',
        'mmpretrain.PreciseBNHook',
    ]
    assert student.default_hooks == dict(
        checkpoint=dict(type='CheckpointHook', interval=1), timer=None
    )
    assert student.val_cfg == dict(fp16=True)
    assert student.test_cfg == dict(type='mmengine.TestLoop')


def test_config_imports_only_what_it_needs(kd_config):

    def imports(names):
        kd_config.custom_imports = dict(imports=names)
        return make_student_config(kd_config).get('custom_imports')

    # The dataset is mmdskd's.
    assert imports('mmdskd') == dict(imports='mmdskd')
    use_mmpretrain_only(kd_config)
    assert imports('mmdskd') is None
    assert imports(['mine', 'mmdskd.models', 'mmrazor']) == dict(
        imports=['mine']
    )
    kd_config.pop('custom_imports')
    assert 'custom_imports' not in make_student_config(kd_config)


OWN = dict(type='mmpretrain.ClsDataPreprocessor', mean=[1.0], std=[2.0])
TOP = dict(type='mmpretrain.ClsDataPreprocessor', mean=[3.0], std=[4.0])
INNER = dict(mean=[5.0], std=[6.0])


@pytest.mark.parametrize('own', [OWN, None, 'absent'])
@pytest.mark.parametrize('top', [TOP, 'absent'])
@pytest.mark.parametrize('inner', [INNER, 'absent'])
def test_preprocessor_is_the_algorithms(
    kd_config, build_runner, own, top, inner
):
    cfg = kd_config
    del cfg.model['data_preprocessor']
    for node, value in (
        (cfg.model, own),
        (cfg, top),
        (cfg.model.architecture, inner),
    ):
        if value != 'absent':
            node['data_preprocessor'] = copy.deepcopy(value)
    student = make_student_config(cfg)
    student.work_dir = cfg.work_dir
    found = [
        build_runner(config).model.data_preprocessor
        for config in (cfg, student)
    ]
    batch = dict(inputs=[torch.arange(4.0).view(1, 2, 2)])
    batches = [
        preprocess(copy.deepcopy(batch))['inputs'] for preprocess in found
    ]
    assert torch.equal(*batches)


def test_preprocessor_of_mmengine(kd_config):
    # MMRazor's own configs use it, but MMPretrain's classifiers can't.
    cfg = kd_config
    cfg.model.data_preprocessor = dict(
        type='ImgDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        pad_size_divisor=8,
        pad_value=1,
        bgr_to_rgb=True,
        non_blocking=True,
    )
    for model in (cfg.model.architecture, cfg.model.teacher):
        model.backbone.in_channels = 3
    student = make_student_config(cfg).model
    torch.manual_seed(0)
    batch = dict(
        inputs=[
            torch.randint(256, (3, size, 11), dtype=torch.uint8)
            for size in (7, 12)
        ],
        data_samples=[DataSample().set_gt_label(i) for i in (0, 1)],
    )
    data = []
    for config in (cfg.model, student):
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            preprocess = MODELS.build(copy.deepcopy(config)).data_preprocessor
        data.append(preprocess(copy.deepcopy(batch), training=True))
    assert torch.equal(data[0]['inputs'], data[1]['inputs'])
    assert data[0]['inputs'].shape == (2, 3, 16, 16)
    assert [int(sample.gt_label) for sample in data[1]['data_samples']] == [
        0,
        1,
    ]

    # A bare name of another scope than the model's.
    cfg.model.data_preprocessor = dict(
        type='ClsDataPreprocessor', _scope_='mmpretrain'
    )
    assert '_scope_' in make_student_config(cfg).model.data_preprocessor


def test_batch_augments_of_the_architecture_stay_unused(kd_config):
    augments = dict(augments=dict(type='Mixup', alpha=1.0))
    cfg = kd_config
    cfg.model.architecture.train_cfg = augments
    model = make_student_config(cfg).model
    assert model.data_preprocessor.batch_augments is None
    del cfg.model['data_preprocessor']
    assert 'data_preprocessor' not in make_student_config(cfg).model


def test_config_depends_on_no_pretrained_weights(kd_config):
    pretrained = dict(type='Pretrained', checkpoint='/teacher/of.pth')
    normal = dict(type='Normal', layer='Conv2d')
    architecture = kd_config.model.architecture
    architecture.pretrained = '/teacher/of.pth'
    architecture.init_cfg = pretrained
    architecture.backbone.init_cfg = [normal, pretrained]
    architecture.head.init_cfg = [
        dict(type='mmengine.model.PretrainedInit', checkpoint='/of.pth')
    ]
    architecture.neck.init_cfg = normal
    model = make_student_config(kd_config).model
    assert '.pth' not in str(model)
    assert model.backbone.init_cfg == [normal]
    assert model.neck.init_cfg == normal
    assert not {'init_cfg', 'pretrained'} & set(model)
    assert 'init_cfg' not in model.head


def test_config_from_a_package_path(kd_config):
    kd_config.model.architecture = dict(
        cfg_path='mmpretrain::resnet/resnet18_8xb16_cifar10.py',
        pretrained=True,
        init_cfg=dict(type='Normal', layer='Conv2d'),
    )
    model = make_student_config(kd_config).model
    assert model._scope_ == 'mmpretrain'
    assert model.backbone.type == 'ResNet_CIFAR'
    assert model.init_cfg.type == 'Normal'
    assert not {'cfg_path', 'pretrained'} & set(model)
    assert model.data_preprocessor == kd_config.model.data_preprocessor
    del kd_config.model['data_preprocessor']
    model = make_student_config(kd_config).model
    assert model.data_preprocessor.num_classes == 10


WIDTHS = {
    'type': 'ChannelMutator',
    'channel_unit_cfg': {
        'type': 'L1MutableChannelUnit',
        'units': {
            'backbone.conv1_(0, 4)_4': {
                'init_args': {'num_channels': 4},
                'choice': 2,
            }
        },
    },
}


@pytest.mark.parametrize('scope', [True, False])
def test_config_of_a_pruned_student(kd_config, tmp_path, scope):
    """The widths are in it, and the preprocessor is the network's."""
    path = tmp_path / 'fix_subnet.json'
    path.write_text(json.dumps(WIDTHS))
    network = kd_config.model.architecture
    network.init_cfg = dict(type='Pretrained', checkpoint='/net.pth')
    kd_config.model.architecture = dict(
        type='sub_model',
        mode='mutator',
        cfg=network,
        fix_subnet=str(path),
        init_cfg=dict(type='Pretrained', checkpoint='/pruned.pth'),
    )
    if scope:
        kd_config.model.architecture._scope_ = 'mmrazor'
    cfg = make_student_config(kd_config)
    assert cfg.model._scope_ == 'mmrazor'
    assert cfg.model.cfg._scope_ == 'mmpretrain'
    assert cfg.model.fix_subnet == WIDTHS
    assert cfg.model.cfg.data_preprocessor == kd_config.model.data_preprocessor
    assert 'data_preprocessor' not in cfg.model
    assert '.pth' not in str(cfg.model)
    assert cfg.custom_imports.imports == ['mmdskd']
    text = Config.fromstring(cfg.pretty_text, '.py')
    assert text.to_dict() == cfg.to_dict()

    path.unlink()
    with pytest.raises(FileNotFoundError):
        make_student_config(kd_config)


def test_preprocessor_of_a_pruned_student_on_batch_data(kd_config):
    use_batch_data(kd_config)
    kd_config.model.architecture = dict(
        type='sub_model', cfg=kd_config.model.architecture, fix_subnet=WIDTHS
    )
    cfg = make_student_config(kd_config)
    assert (
        cfg.model.cfg.data_preprocessor.type
        == 'mmpretrain.ClsDataPreprocessor'
    )
    assert cfg.model.fix_subnet == WIDTHS


def test_functions_that_hide_the_widths_are_refused(kd_config):
    kd_config.model.architecture = dict(
        type='GroupFisherSubModel', algorithm=dict()
    )
    with pytest.raises(
        TypeError, match='sub_model of one, but got GroupFisherSubModel'
    ):
        make_student_config(kd_config)


def test_scope_of_the_model(kd_config):
    del kd_config.model.architecture['_scope_']
    assert make_student_config(kd_config).model._scope_ == 'mmrazor'
    del kd_config.model['_scope_']
    assert make_student_config(kd_config).model._scope_ == 'mmpretrain'


def test_tests_on_the_validation_set_by_default(kd_config):
    kd_config.val_cfg = dict(type='mmengine.ValLoop', fp16=True)
    for part in ('dataloader', 'evaluator', 'cfg'):
        kd_config.pop(f'test_{part}')
    student = make_student_config(kd_config)
    assert student.test_dataloader == kd_config.val_dataloader
    assert student.test_evaluator == kd_config.val_evaluator
    assert student.test_cfg == dict(fp16=True)
    assert student.val_cfg == kd_config.val_cfg
    for part in ('dataloader', 'evaluator', 'cfg'):
        kd_config.pop(f'val_{part}')
    assert 'test_cfg' not in make_student_config(kd_config)


def test_run_without_validation(kd_config):
    for stage in ('val', 'test'):
        for part in ('dataloader', 'evaluator', 'cfg'):
            kd_config[f'{stage}_{part}'] = None
    student = make_student_config(kd_config)
    assert student.val_cfg is None and student.test_cfg is None
    assert student.train_cfg == kd_config.train_cfg


def test_parameter_names_of_the_optimizer(kd_config):
    kd_config.optim_wrapper.paramwise_cfg = dict(
        custom_keys={
            'architecture.head': dict(lr_mult=2),
            'bn': dict(decay_mult=0),
        }
    )
    assert make_student_config(
        kd_config
    ).optim_wrapper.paramwise_cfg.custom_keys == {
        'head': dict(lr_mult=2),
        'bn': dict(decay_mult=0),
    }


@pytest.mark.parametrize(
    'model, found',
    [
        (None, 'NoneType'),
        (dict(type='A', head={}), r"\['head', 'type'\]"),
        (dict(architecture=1), r"\['architecture'\]"),
    ],
)
def test_config_without_a_student(model, found):
    with pytest.raises(TypeError, match=f'"architecture".*got {found}'):
        make_student_config(Config(dict(model=model)))


SCRIPT = """
import sys
import torch
from mmpretrain import get_model
model = get_model('student_config.py', pretrained='student.pth').eval()
assert not {'mmdskd', 'mmrazor'} & set(sys.modules)
batch = dict(inputs=[torch.arange(256.).view(1, 16, 16)])
inputs = model.data_preprocessor(batch)['inputs']
torch.save((inputs, model(inputs)), 'result.pth')
"""


def use_batch_data(cfg):
    """Keep the images in memory, and augment whole batches."""
    cfg.model.data_preprocessor.update(
        type='mmdskd.AugmentingDataPreprocessor',
        seed=3,
        augments=[
            dict(type='mmdskd.BatchRandomCrop', crop_size=16, padding=1)
        ],
    )
    for name in ('train', 'val'):
        loader = cfg[f'{name}_dataloader']
        loader.dataset = dict(
            type='mmdskd.InMemoryDataset', dataset=loader.dataset
        )
        loader.collate_fn = dict(type='mmdskd.collate_batch')


def test_batch_data_become_those_of_mmpretrain(kd_config):
    plain = make_student_config(kd_config)
    use_batch_data(kd_config)
    before = kd_config.pretty_text
    student = make_student_config(kd_config)
    assert kd_config.pretty_text == before
    assert student.model == plain.model
    assert student.test_dataloader == plain.test_dataloader
    assert student.val_dataloader.dataset == plain.val_dataloader.dataset
    resize, crop, pack = student.train_dataloader.dataset.pipeline
    assert [resize, pack] == plain.train_dataloader.dataset.pipeline
    assert crop == dict(
        type='mmpretrain.RandomCrop', crop_size=(16, 16), padding=1
    )


def test_batch_data_of_another_kind_stay(kd_config):
    """What only a batch can have, is not left out silently."""
    use_batch_data(kd_config)
    del kd_config.train_dataloader.dataset.dataset['pipeline']
    student = make_student_config(kd_config)
    for key in ('train_dataloader', 'val_dataloader'):
        assert student[key] == kd_config[key]
    assert student.model.data_preprocessor == kd_config.model.data_preprocessor


@pytest.mark.parametrize('batch_data', [False, True])
def test_pair_serves_in_an_empty_folder_without_mmdskd(
    kd_config, tmp_path, batch_data
):
    use_mmpretrain_only(kd_config)
    if batch_data:
        use_batch_data(kd_config)
    kd_config.model.architecture.init_cfg = dict(
        type='Pretrained', checkpoint='/no/such/file.pth'
    )
    config = copy.deepcopy(kd_config.model)
    algorithm = MODELS.build(config)
    algorithm.eval()
    cfg = make_student_config(kd_config)
    folder = tmp_path / 'empty'
    folder.mkdir()
    save_config_atomically(cfg, str(folder / 'student_config.py'))
    save_checkpoint_atomically(
        extract_student(dict(state_dict=algorithm.state_dict()), cfg),
        str(folder / 'student.pth'),
    )
    assert sorted(os.listdir(folder)) == ['student.pth', 'student_config.py']
    assert (
        Config.fromfile(str(folder / 'student_config.py')).to_dict()
        == cfg.to_dict()
    )
    subprocess.run([sys.executable, '-c', SCRIPT], cwd=folder, check=True)
    batch = dict(inputs=[torch.arange(256.0).view(1, 16, 16)])
    inputs = algorithm.data_preprocessor(batch)['inputs']
    found = torch.load(str(folder / 'result.pth'), weights_only=True)
    assert torch.equal(found[0], inputs)
    with torch.no_grad():
        assert torch.equal(found[1], algorithm(inputs))
