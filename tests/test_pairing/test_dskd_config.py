import re
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS
from plain_configs import RESNET, RUN, SMALL_RESNET, VIT, write

from mmdskd.pairing.dry_run import try_training
from mmdskd.pairing.dskd_config import DSKDConfig
from mmdskd.pairing.source_config import SourceConfig, load_source_config


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def make(student, teacher, **kwargs):
    return DSKDConfig(*map(load_source_config, (student, teacher)), **kwargs)


def test_transformer_from_cnn():
    made = make(write('vit', VIT), write('resnet', RESNET))
    assert made.warnings == [
        'the checkpoint of the teacher, work_dirs/resnet/epoch_7.pth, is not '
        'there yet: train it by tools/train.py resnet.py, or name another '
        'one in teacher_ckpt'
    ]
    text = made.to_text('dskd.py')
    assert '#   backbone.layers.2: 8x8x8 (64 + 1 tokens)' in text
    assert 'architecture=student' in text and 'teacher=teacher' in text
    assert max(map(len, text.splitlines())) < 80
    cfg = made.load()
    Path('dskd.py').write_text(text)
    assert cfg.to_dict() == Config.fromfile('dskd.py').to_dict()
    # Data and schedule are of the student's config, and its mixup goes where
    # an algorithm takes notice of it.
    assert cfg.train_dataloader == RUN['train_dataloader']
    assert cfg.optim_wrapper.type == 'AmpOptimWrapper'
    assert cfg.data_preprocessor == dict(
        type='mmpretrain.ClsDataPreprocessor',
        batch_augments=VIT['train_cfg'],
        **RUN['data_preprocessor'],
    )
    assert [hook.type for hook in cfg.custom_hooks] == [
        'EMAHook',
        'mmdskd.LossWeightSchedulerHook',
        'mmdskd.StudentCheckpointHook',
        'mmdskd.TeacherEvaluationHook',
    ]
    model = cfg.model
    assert set(model) == {
        'type',
        '_scope_',
        'architecture',
        'teacher',
        'teacher_ckpt',
        'distiller',
    }
    assert 'train_cfg' not in model.architecture
    heads = model.distiller.connectors.heads
    assert heads.strides == [2, 2, 2]
    assert heads.layouts == dict(order='NLC', num_extra_tokens=1)
    # So large a teacher, so small a student: the heads are as narrow as they
    # get.
    assert heads.head.bottleneck_ratio == 0.25
    # The parameters in the table are those that are built.
    model.teacher_ckpt = None
    built = MODELS.build(model).distiller.connectors
    parameters = sum(p.numel() for p in built.parameters())
    assert f'| {parameters:,} |' in made.table.splitlines()[-1]


def test_cnn_from_transformer():
    Path('folder').mkdir()
    made = make(
        write('resnet', RESNET),
        write('vit', VIT),
        branches=['backbone.layer1', 'backbone.layer2.0'],
        teacher_ckpt='any.pth',
        dataset_from='teacher',
        teacher_feature='backbone.layers.3',
    )
    text = made.to_text('folder/mine.py')
    assert "_base_ = '../vit.py'" in text
    cfg = made.load()
    distiller = cfg.model.distiller
    assert distiller.student_recorders.shallow.sources == [
        'backbone.layer1',
        'backbone.layer2.0',
    ]
    assert distiller.teacher_recorders.feat.source == 'backbone.layers.3'
    assert distiller.connectors.heads.strides == [4, 2]
    assert distiller.connectors.teacher_map == dict(
        type='mmdskd.FeatureMapConnector',
        layout=dict(order='NLC', num_extra_tokens=1),
    )
    feat_T = distiller.loss_forward_mappings.loss_dskd.feat_T
    assert feat_T.connector == 'teacher_map'
    assert cfg.model.teacher_ckpt == 'any.pth'


def test_models_of_mmpretrain():
    made = make(
        'resnet18_8xb16_cifar10',
        'mmpretrain::resnet/resnet34_8xb16_cifar10.py',
        branches=1,
    )
    assert made.warnings == []
    base = "_base_ = 'mmpretrain::resnet/resnet18_8xb16_cifar10.py'"
    assert base in made.to_text('any.py')
    assert 'resnet34_b16x8_cifar10' in made.load().model.teacher_ckpt


def other(name='other', **preprocessor):
    """A teacher with another data preprocessor."""
    preprocessor = dict(RUN['data_preprocessor'], **preprocessor)
    cfg = Config(dict(RUN, model=SMALL_RESNET, data_preprocessor=preprocessor))
    return SourceConfig(name, f'{name}.py', cfg, 'https://any.pth')


def test_other_normalisation_is_filled_in():
    student = load_source_config(write('resnet', SMALL_RESNET))
    made = DSKDConfig(student, other(mean=[3.0] * 3))
    assert made.warnings == [
        'the teacher gets the images of resnet as it was trained on them, by '
        'teacher_data_preprocessor: mean [3.0, 3.0, 3.0], std [2.0, 2.0, '
        '2.0], to_rgb False (other.py)'
    ]
    theirs = dict(mean=[3.0] * 3, std=[2.0] * 3, to_rgb=False)
    cfg = made.load()
    assert cfg.model.type == 'mmdskd.FrozenTeacherDistill'
    assert cfg.model.teacher_data_preprocessor == theirs
    assert cfg.data_preprocessor.mean == [1.0] * 3
    assert 'by mmdskd.FrozenTeacherDistill' in made.to_text('any.py')
    assert len(try_training(cfg, (3, 32, 32), 10)) == 2


@pytest.mark.parametrize('key', ['to_rgb', 'bgr_to_rgb', 'rgb_to_bgr'])
def test_another_order_of_colours_is_filled_in(key):
    student = load_source_config(write('resnet', SMALL_RESNET))
    model = DSKDConfig(student, other(**{key: True})).load().model
    assert model.teacher_data_preprocessor.to_rgb is True
    same = other('same', **{key: True})
    made = DSKDConfig(same, other(**{key: True}))
    assert made.warnings == [] and made.teacher_images.options == {}


def test_teacher_of_another_size():
    """It is planned, tried and written for its own size."""
    student = load_source_config(write('resnet', SMALL_RESNET))
    crop = dict(type='RandomCrop', crop_size=64)
    teacher = other()
    teacher.cfg.train_dataloader.dataset.pipeline = [crop]
    made = DSKDConfig(student, teacher, dataset_from='student')
    assert made.teacher_images.options == dict(teacher_input_size=64)
    assert made.plan.target.shape == '64x8x8'
    assert made.plan.branches[0].shape == '8x32x32'
    cfg = made.load()
    assert cfg.model.teacher_input_size == 64
    assert cfg.model.distiller.connectors.heads.strides == [4, 2, 1]
    assert len(try_training(cfg, (3, 32, 32), 10)) == 2
    made = DSKDConfig(
        student, teacher, dataset_from='student', teacher_input_size='data'
    )
    assert made.plan.target.shape == '64x4x4' and made.warnings == []
    made = DSKDConfig(student, other(), teacher_input_size=(48, 32))
    assert made.load().model.teacher_input_size == (48, 32)
    assert made.plan.target.shape == '64x6x4'


def test_images_of_another_shape_are_told():
    student = write('resnet', SMALL_RESNET)
    made = make(student, student, image_shape=(3, 64, 32))
    assert made.warnings[0] == (
        'the data of resnet.py have the shape (3, 32, 32), not (3, 64, 32), '
        'for which this config is: change their crop and resize'
    )


def test_weights_of_the_networks_are_kept():
    weights = dict(type='Pretrained', checkpoint='a.pth', prefix='backbone')
    init = [dict(type='Kaiming', layer='Conv2d'), weights]
    student = dict(
        SMALL_RESNET,
        backbone=dict(SMALL_RESNET['backbone'], init_cfg=init),
        head=dict(SMALL_RESNET['head'], init_cfg=weights),
    )
    teacher = dict(
        RESNET, init_cfg=dict(type='Pretrained', checkpoint='t.pth')
    )
    cfg = make(write('student', student), write('teacher', teacher)).load()
    architecture = cfg.model.architecture
    assert architecture.backbone.init_cfg == init
    assert architecture.head.init_cfg == weights
    assert cfg.model.teacher_ckpt == 't.pth'
    assert 'init_cfg' not in cfg.model.teacher
    # No file is there, and the trial needs none.
    assert len(try_training(cfg, (3, 32, 32), 10)) == 2


def test_teacher_that_loads_its_weights_by_itself():
    """As one of timm; prefix is nothing that teacher_ckpt knows."""
    own = dict(type='Pretrained', checkpoint='t.pth', prefix='architecture')
    teacher = write('teacher', dict(RESNET, init_cfg=own))
    student = write('student', SMALL_RESNET)
    model = make(student, teacher).load().model
    assert model.teacher_ckpt is None
    assert model.teacher.init_cfg == own
    model = make(student, teacher, teacher_ckpt='other.pth').load().model
    assert model.teacher_ckpt == 'other.pth'
    assert 'init_cfg' not in model.teacher


def test_preprocessor_of_the_model_goes_alone():
    own = dict(mean=[5.0] * 3, std=[6.0] * 3, to_rgb=False)
    model = dict(SMALL_RESNET, data_preprocessor=own)
    student = write('resnet', model)
    cfg = make(student, student).load()
    assert cfg.data_preprocessor == dict(
        own, type='mmpretrain.ClsDataPreprocessor'
    )


class TestBadInput:
    @pytest.mark.parametrize(
        'kwargs, error, message',
        [
            (
                dict(branches=['backbone.layer1', 'backbone.leyer2']),
                KeyError,
                "'backbone.leyer2' is not a module of the student; did you "
                'mean backbone.layer2',
            ),
            (
                dict(branches=['head.fc']),
                ValueError,
                "'head.fc' of the student gives no feature",
            ),
            (
                dict(branches=40),
                ValueError,
                'The number of branches should be 1 to ',
            ),
            (dict(branches=-1), ValueError, 'branches should be 1 to '),
            (
                dict(image_shape=(1, 32, 32)),
                RuntimeError,
                'does not run on images of shape (1, 32, 32)',
            ),
            (
                dict(teacher_logits='neck'),
                ValueError,
                'A module of the teacher should return the logits (N, 10), '
                "but 'neck' does not: give --teacher-logits NAME; modules "
                'that return this shape are head.fc, head',
            ),
        ],
    )
    def test_arguments(self, kwargs, error, message):
        student = write('resnet', SMALL_RESNET)
        with pytest.raises(error, match=re.escape(message)):
            make(student, student, **kwargs)

    def test_teacher(self):
        student = write('resnet', SMALL_RESNET)
        broken = dict(RESNET, neck=dict(type='GlobalAveragePooling', dims=2))
        with pytest.raises(
            ValueError,
            match='model of broken.py should be built, but TypeError: .*'
            "unexpected keyword argument 'dims'",
        ):
            make(student, write('broken', broken))
        head = dict(SMALL_RESNET['head'], num_classes=100)
        other = dict(SMALL_RESNET, head=head)
        with pytest.raises(
            ValueError, match=r'the student has 10 and the teacher 100\. If '
        ):
            make(student, write('other', other))

    def test_shape_that_the_data_does_not_tell(self):
        cfg = Config(
            dict(
                model=RESNET,
                default_scope='mmpretrain',
                train_dataloader=dict(dataset=dict(type='Own')),
            )
        )
        own = SourceConfig('own', 'own.py', cfg)
        with pytest.raises(
            ValueError, match='own.py does not tell the shape of the images'
        ):
            DSKDConfig(own, own)


def test_neck_that_returns_a_tuple():
    """As HRNet's, whose feature no loss takes as it stands."""
    hrnet = dict(
        RESNET,
        backbone=dict(
            type='HRNet',
            extra={
                f'stage{i}': dict(
                    num_modules=1,
                    num_branches=i,
                    block='BASIC' if i > 1 else 'BOTTLENECK',
                    num_blocks=(1,) * i,
                    num_channels=(4, 8, 12, 16)[:i],
                )
                for i in range(1, 5)
            },
        ),
        neck=[
            dict(
                type='HRFuseScales',
                in_channels=(4, 8, 12, 16),
                out_channels=24,
            ),
            dict(type='GlobalAveragePooling'),
        ],
        head=dict(RESNET['head'], in_channels=24),
    )
    made = make(
        write('resnet', SMALL_RESNET),
        write('hrnet', hrnet),
        image_shape=(3, 64, 64),
    )
    assert made.plan.target.name == 'neck.0'
    cfg = made.load()
    distiller = cfg.model.distiller
    assert distiller.connectors.heads.out_channels == 24
    assert distiller.connectors.heads.strides == [32, 16, 8]
    assert distiller.connectors.teacher_map == dict(
        type='mmdskd.FeatureMapConnector', layout='NCHW'
    )
    losses = try_training(cfg, (3, 64, 64), 10, iterations=1)
    assert losses[0]['distill.loss_dskd'] > 0
