"""The images that a teacher was trained on."""

import json

import pytest
from mmengine.config import Config
from plain_configs import RUN, SMALL_RESNET

from mmdskd.pairing.auto import build_plain
from mmdskd.pairing.dskd_config import DSKDConfig
from mmdskd.pairing.source_config import SourceConfig
from mmdskd.pairing.teacher_images import choose_teacher_images

READ = dict(type='LoadImageFromFile')
CROP = dict(type='RandomCrop', crop_size=32)


def source(name='student', pipeline=None, kind='CIFAR10', **changes):
    cfg = Config(dict(RUN, model=SMALL_RESNET))
    cfg.merge_from_dict(changes)
    if pipeline:
        cfg.train_dataloader.dataset = dict(type=kind, pipeline=pipeline)
    return SourceConfig(name, f'{name}.py', cfg)


def alone(model, name='teacher', **kwargs):
    """A network without data."""
    cfg = dict(default_scope='mmpretrain', model=model, **kwargs)
    return SourceConfig(name, f'{name}.py', Config(cfg))


def choose(teacher, data=None, shape=(3, 32, 32), **kwargs):
    network = build_plain(teacher.cfg.model, teacher.scope)
    return choose_teacher_images(
        teacher, data or source(), network, shape, **kwargs
    )


def test_same_images():
    assert choose(source('teacher')) == ({}, 'teacher.py')


def test_own_normalisation():
    teacher = source(
        'teacher', data_preprocessor=dict(mean=[3.0] * 3, std=[4.0] * 3)
    )
    theirs = dict(mean=[3.0] * 3, std=[4.0] * 3, to_rgb=False)
    assert choose(teacher).options == dict(teacher_data_preprocessor=theirs)
    assert choose(teacher, teacher).options == {}


def test_raw_pixels():
    """A training without normalisation."""
    teacher = source('teacher')
    teacher.cfg.data_preprocessor = dict(num_classes=10)
    assert choose(teacher).options == dict(
        teacher_data_preprocessor=dict(to_rgb=False)
    )


def test_nothing_is_known():
    assert choose(alone(SMALL_RESNET)) == ({}, None)


@pytest.mark.parametrize(
    'ours, theirs, expected',
    [
        # pipeline, to_rgb of either; to_rgb that the teacher needs
        (([CROP], False), ([READ, CROP], True), None),
        (([CROP], False), ([READ, CROP], False), True),
        (([READ, CROP], True), ([CROP], False), None),
        (([READ, CROP], False), ([CROP], False), True),
        (([READ, CROP], False), ([READ, CROP], True), True),
    ],
)
def test_order_of_colours(ours, theirs, expected):
    """CIFAR gives red, green, blue, and files are read the other way."""
    data, teacher = (
        source(
            name,
            pipeline,
            'CustomDataset' if READ in pipeline else 'CIFAR10',
            **{'data_preprocessor.to_rgb': swaps},
        )
        for name, (pipeline, swaps) in (('data', ours), ('teacher', theirs))
    )
    options = choose(teacher, data).options
    if expected is None:
        assert options == {}
    else:
        assert options['teacher_data_preprocessor']['to_rgb'] is expected


def test_grey_images_for_a_teacher_of_colours():
    data = source(data_preprocessor=dict(mean=[77.0], std=[33.0]))
    data.cfg.data_preprocessor = dict(mean=[77.0], std=[33.0])
    teacher = source('teacher')
    options = choose(teacher, data, (1, 32, 32)).options
    assert options == dict(
        teacher_data_preprocessor=dict(mean=[1.0] * 3, std=[2.0] * 3)
    )
    # Nothing says how those of the teacher were: as those of the student.
    options = choose(alone(SMALL_RESNET), data, (1, 32, 32)).options
    assert options == dict(
        teacher_data_preprocessor=dict(mean=[77.0] * 3, std=[33.0] * 3)
    )


def test_size_of_its_evaluation():
    teacher = source('teacher', [dict(type='CenterCrop', crop_size=48)])
    assert choose(teacher).options == dict(teacher_input_size=48)
    assert choose(teacher, input_size='data').options == {}
    assert choose(teacher, input_size=40).options == dict(
        teacher_input_size=40
    )
    assert choose(teacher, input_size=(40, 24)).options == dict(
        teacher_input_size=(40, 24)
    )
    # That of the data in an evaluation is no other size.
    data = source()
    data.cfg.val_dataloader = teacher.cfg.train_dataloader
    assert choose(teacher, data).options == {}
    # Both get what is asked for.
    assert choose(source('teacher'), shape=(3, 64, 64)).options == {}


TIMM = dict(
    type='TimmClassifier', model_name='vit_tiny_patch16_224', num_classes=10
)


class TestTimm:
    @pytest.fixture(autouse=True)
    def timm(self):
        pytest.importorskip('timm')

    def test_what_it_says_by_itself(self):
        found = choose(alone(TIMM))
        assert found.source == 'its pretrained_cfg of timm'
        assert found.options == dict(
            teacher_data_preprocessor=dict(
                mean=[127.5] * 3, std=[127.5] * 3, to_rgb=False
            ),
            teacher_input_size=224,
        )

    def test_grey_images(self):
        """A first layer for one channel, and values of three."""
        model = dict(
            type='TimmClassifier', model_name='resnet10t', num_classes=10
        )
        options = choose(
            alone(dict(model, in_chans=1)), shape=(1, 32, 32)
        ).options
        assert options['teacher_data_preprocessor'] == dict(
            mean=[114.495], std=[57.63]
        )
        options = choose(alone(model), shape=(1, 32, 32)).options
        assert options['teacher_data_preprocessor']['mean'][0] == 123.675

    def test_backbone_and_size_that_it_was_built_for(self):
        backbone = dict(
            type='TIMMBackbone', model_name='vit_tiny_patch16_224', img_size=64
        )
        model = dict(SMALL_RESNET, backbone=backbone, neck=None)
        options = choose(alone(model)).options
        assert options['teacher_input_size'] == 64

    def test_its_config_goes_first(self):
        teacher = source('teacher', **{'model._delete_': True})
        teacher.cfg.model = TIMM
        assert choose(teacher) == ({}, 'teacher.py')
        found = choose(teacher, brings_weights=True)
        assert found.source == 'its pretrained_cfg of timm'

    def test_order_of_colours(self):
        data = source('data', [READ, CROP], 'CustomDataset')
        theirs = choose(alone(TIMM), data).options['teacher_data_preprocessor']
        assert theirs['to_rgb'] is True

    def test_config_trains(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        student = source()
        student.cfg.dump('student.py')
        made = DSKDConfig(
            student,
            alone(dict(TIMM, depth=2)),
            branches=1,
            teacher_ckpt='a.pth',
        )
        assert made.plan.target.grid == (14, 14)
        model = made.load().model
        assert model.teacher_input_size == 224
        assert 'resized from 32x32' in ' '.join(made.warnings)


def test_torchvision():
    model = dict(type='mmdskd.TorchvisionClassifier', model_name='resnet18')
    found = choose(alone(model))
    assert found.source == 'ResNet18_Weights.IMAGENET1K_V1 of torchvision'
    assert found.options == dict(
        teacher_data_preprocessor=dict(
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            to_rgb=False,
        ),
        teacher_input_size=224,
        teacher_interpolation='bilinear',
    )


class TestHuggingFace:
    @pytest.fixture
    def folder(self, tmp_path):
        transformers = pytest.importorskip('transformers')
        transformers.ResNetConfig(
            embedding_size=8,
            hidden_sizes=[8, 16],
            depths=[1, 1],
            num_labels=10,
        ).save_pretrained(tmp_path)
        return tmp_path

    def teacher(self, folder):
        return alone(
            dict(type='HuggingFaceClassifier', model_name=str(folder))
        )

    def test_image_processor(self, folder):
        processor = dict(
            do_normalize=True,
            image_mean=[0.5, 0.4, 0.3],
            image_std=[0.2, 0.2, 0.1],
            rescale_factor=1 / 255,
            size=dict(shortest_edge=256),
            do_center_crop=True,
            crop_size=dict(height=224, width=192),
            resample=2,
        )
        (folder / 'preprocessor_config.json').write_text(json.dumps(processor))
        found = choose(self.teacher(folder))
        assert found.source == f'preprocessor_config.json of {folder}'
        assert found.options == dict(
            teacher_data_preprocessor=dict(
                mean=[127.5, 102.0, 76.5], std=[51.0, 51.0, 25.5], to_rgb=False
            ),
            teacher_input_size=(224, 192),
            teacher_interpolation='bilinear',
        )
        processor.update(do_normalize=False, do_center_crop=False, size=128)
        (folder / 'preprocessor_config.json').write_text(json.dumps(processor))
        options = choose(self.teacher(folder)).options
        assert options['teacher_input_size'] == 128
        theirs = options['teacher_data_preprocessor']
        assert (theirs['mean'], theirs['std']) == ([0.0], [255.0])

    def test_no_image_processor(self, folder):
        assert choose(self.teacher(folder)) == ({}, None)
