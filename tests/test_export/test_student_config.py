import copy
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.structures import DataSample

from mmdskd.export.student_config import make_student_config
from mmdskd.export.student_weights import extract_student
from mmdskd.utils.files import (
    save_checkpoint_atomically,
    save_config_atomically,
)


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


def test_config_keeps_what_testing_and_training_need(kd_config):
    before = kd_config.pretty_text
    student = make_student_config(kd_config)
    assert kd_config.pretty_text == before
    of_the_run = {'work_dir', 'teacher_ckpt'}
    assert set(student) == set(kd_config) - of_the_run
    for key in set(student) - {'model', 'custom_hooks'}:
        assert student[key] == kd_config[key], key
    assert student.custom_hooks == []
    assert 'teacher' not in student.pretty_text
    expected = kd_config.model.architecture.to_dict()
    expected['data_preprocessor'] = kd_config.model.data_preprocessor
    assert student.model == expected


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
for name in ('images', 'batches'):
    model = get_model(f'{name}/student_config.py',
                      pretrained=f'{name}/student.pth').eval()
    assert not {'mmdskd', 'mmrazor'} & set(sys.modules)
    batch = dict(inputs=[torch.arange(256.).view(1, 16, 16)])
    inputs = model.data_preprocessor(batch)['inputs']
    torch.save((inputs, model(inputs)), f'{name}/result.pth')
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


def test_preprocessor_of_a_pruned_student_on_batch_data(kd_config):
    use_batch_data(kd_config)
    kd_config.model.architecture = dict(
        type='sub_model', cfg=kd_config.model.architecture, fix_subnet=dict()
    )
    cfg = make_student_config(kd_config)
    assert (
        cfg.model.cfg.data_preprocessor.type
        == 'mmpretrain.ClsDataPreprocessor'
    )
    assert cfg.model.fix_subnet == dict()


def test_batch_data_of_another_kind_stay(kd_config):
    """What only a batch can have, is not left out silently."""
    use_batch_data(kd_config)
    del kd_config.train_dataloader.dataset.dataset['pipeline']
    student = make_student_config(kd_config)
    for key in ('train_dataloader', 'val_dataloader'):
        assert student[key] == kd_config[key]
    assert student.model.data_preprocessor == kd_config.model.data_preprocessor


def test_pair_serves_in_an_empty_folder_without_mmdskd(kd_config, tmp_path):
    """Also that of a run whose data are augmented as whole batches."""
    use_mmpretrain_only(kd_config)
    kd_config.model.architecture.init_cfg = dict(
        type='Pretrained', checkpoint='/no/such/file.pth'
    )
    algorithms = {}
    for name in ('images', 'batches'):
        if name == 'batches':
            use_batch_data(kd_config)
        algorithms[name] = MODELS.build(copy.deepcopy(kd_config.model))
        algorithms[name].eval()
        cfg = make_student_config(kd_config)
        folder = tmp_path / name
        folder.mkdir()
        save_config_atomically(cfg, str(folder / 'student_config.py'))
        state_dict = algorithms[name].state_dict()
        save_checkpoint_atomically(
            extract_student(dict(state_dict=state_dict), cfg),
            str(folder / 'student.pth'),
        )
        found = Config.fromfile(str(folder / 'student_config.py'))
        assert found.to_dict() == cfg.to_dict()
    subprocess.run([sys.executable, '-c', SCRIPT], cwd=tmp_path, check=True)
    for name, algorithm in algorithms.items():
        batch = dict(inputs=[torch.arange(256.0).view(1, 16, 16)])
        inputs = algorithm.data_preprocessor(batch)['inputs']
        found = torch.load(tmp_path / name / 'result.pth', weights_only=True)
        with torch.no_grad():
            expected = algorithm(inputs)
        # Another process may choose other kernels.
        torch.testing.assert_close(found[0], inputs)
        torch.testing.assert_close(found[1], expected)
