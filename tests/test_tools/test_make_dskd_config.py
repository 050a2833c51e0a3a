import re
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
RESNET = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet_CIFAR', depth=18, base_channels=64),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=512,
        loss=dict(type='CrossEntropyLoss'),
    ),
)
VIT = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VisionTransformer',
        arch=dict(
            embed_dims=8, num_layers=4, num_heads=2, feedforward_channels=8
        ),
        img_size=32,
        patch_size=4,
    ),
    neck=None,
    head=dict(
        type='VisionTransformerClsHead',
        num_classes=10,
        in_channels=8,
        loss=dict(type='CrossEntropyLoss'),
    ),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8)]),
)
RUN = dict(
    default_scope='mmpretrain',
    data_preprocessor=dict(num_classes=10, mean=[1.0] * 3, std=[2.0] * 3),
    train_dataloader=dict(
        batch_size=4,
        dataset=dict(
            type='CIFAR10',
            data_root='data',
            pipeline=[dict(type='RandomCrop', crop_size=32)],
        ),
    ),
    train_cfg=dict(by_epoch=True, max_epochs=7),
    optim_wrapper=dict(
        type='AmpOptimWrapper',
        loss_scale='dynamic',
        optimizer=dict(type='SGD', lr=0.01),
    ),
    custom_hooks=[dict(type='EMAHook', momentum=1e-4)],
)


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a config, and work in its folder."""
    monkeypatch.chdir(tmp_path)

    def write(name, model, **kwargs):
        Config(dict(RUN, model=model, **kwargs)).dump(f'{name}.py')
        return f'{name}.py'

    return write


def fail(run, *arguments):
    with pytest.raises(SystemExit) as error:
        run('misc/make_dskd_config.py', *arguments)
    assert error.value.code.startswith('make_dskd_config.py: ')
    return error.value.code


def test_transformer_from_cnn(run_tool, write, capsys):
    student, teacher = write('vit', VIT), write('resnet', RESNET)
    run_tool('misc/make_dskd_config.py', student, teacher)
    printed = capsys.readouterr().out
    rows = [line.split(' | ') for line in printed.splitlines()[2:6]]
    assert [row[1] for row in rows] == [
        *['8x8x8 (64 + 1 tokens)'] * 3,
        'to 512x4x4',
    ]
    output = 'dskd_resnet_vit.py'
    assert re.search(
        r'2 iterations on random images, .*: losses \d+\.\d+, \d+\.\d+, and',
        printed,
    )
    assert (
        'Note: the checkpoint of the teacher, work_dirs/resnet/'
        'epoch_7.pth, is not there yet: train it by tools/train.py '
        'resnet.py'
    ) in printed
    assert f'Wrote {output}. Train it by\n  python tools/train.py' in printed

    cfg = Config.fromfile(output)
    text = Path(output).read_text()
    assert '#   backbone.layers.2: 8x8x8 (64 + 1 tokens)' in text
    assert max(map(len, text.splitlines())) < 80
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
    assert model.distiller.connectors.heads.strides == [2, 2, 2]
    assert model.distiller.connectors.heads.layouts == dict(
        order='NLC', num_extra_tokens=1
    )
    # The parameters of the heads in the table are those that are built.
    model.teacher_ckpt = None
    heads = MODELS.build(model).distiller.connectors
    parameters = sum(p.numel() for p in heads.parameters())
    assert rows[-1][2] == f'{parameters:,}'
    # So large a teacher, so small a student: the heads are as narrow as they
    # get.
    assert model.distiller.connectors.heads.head.bottleneck_ratio == 0.25


def test_cnn_from_transformer(run_tool, write, tmp_path):
    (tmp_path / 'folder').mkdir()
    student, teacher = write('resnet', RESNET), write('vit', VIT)
    run_tool(
        'misc/make_dskd_config.py',
        student,
        teacher,
        '--branches',
        'backbone.layer1, backbone.layer2.0',
        '--teacher-ckpt',
        'any.pth',
        '--dataset-from',
        'teacher',
        '--teacher-feature',
        'backbone.layers.3',
        '-o',
        'folder/mine.py',
    )
    cfg = Config.fromfile('folder/mine.py')
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
    assert cfg.model.teacher_ckpt == 'any.pth'
    assert cfg.filename.endswith('mine.py')


def test_models_of_mmpretrain_by_name(run_tool, write, tmp_path, capsys):
    run_tool(
        'misc/make_dskd_config.py',
        'resnet18_8xb16_cifar10',
        'mmpretrain::resnet/resnet34_8xb16_cifar10.py',
        '--branches',
        '1',
    )
    text = Path(
        'dskd_resnet34_8xb16_cifar10_resnet18_8xb16_cifar10.py'
    ).read_text()
    assert "_base_ = 'mmpretrain::resnet/resnet18_8xb16_cifar10.py'" in text
    cfg = Config.fromfile(
        'dskd_resnet34_8xb16_cifar10_resnet18_8xb16_cifar10.py'
    )
    # The weights that MMPretrain has published.
    assert cfg.model.teacher_ckpt.startswith('https://')
    assert 'resnet34' in cfg.model.teacher_ckpt
    assert 'Note' not in capsys.readouterr().out


def test_a_file_that_is_there_stays(run_tool, write):
    student = write('resnet', RESNET)
    assert 'resnet.py is there already' in fail(
        run_tool, student, student, '-o', 'resnet.py'
    )
    assert 'distiller' not in Path('resnet.py').read_text()


def test_other_normalisation_is_told(run_tool, write, capsys):
    student = write('resnet', RESNET)
    teacher = Config(
        dict(RUN, model=RESNET, data_preprocessor=dict(mean=[3.0] * 3))
    )
    teacher.dump('other.py')
    run_tool('misc/make_dskd_config.py', student, 'other.py')
    assert (
        'Note: student and teacher were made for images that are '
        'normalised in different ways'
    ) in capsys.readouterr().out


def test_images_of_another_shape_are_told(run_tool, write, capsys):
    student = write('resnet', RESNET)
    run_tool(
        'misc/make_dskd_config.py', student, student, '--shape', '3,64,32'
    )
    assert (
        'Note: the data of resnet.py have the shape (3, 32, 32), not '
        '(3, 64, 32), for which this config is: change their crop and '
        'resize'
    ) in capsys.readouterr().out


def test_models_without_a_scope():
    from mmdskd.pairing.source_config import SourceConfig

    path = 'mmpretrain::a/b.py'
    ours = Config(dict(default_scope='mmdskd'))
    assert SourceConfig('', path, Config()).scope == 'mmpretrain'
    assert SourceConfig('', 'b.py', Config()).scope == 'mmengine'
    assert SourceConfig('', path, ours).scope == 'mmdskd'


class TestBadInput:
    def test_names(self, run_tool, write):
        student = write('resnet', RESNET)
        message = fail(run_tool, 'resnet18_8xb32_inlk', student)
        assert (
            'Student and teacher should each be a config file, '
            '"package::path", or a name of mmpretrain.list_models()'
        ) in message
        assert 'did you mean resnet18_8xb32_in1k' in message
        message = fail(
            run_tool,
            student,
            student,
            '--branches',
            'backbone.layer1,backbone.leyer2',
        )
        assert (
            "'backbone.leyer2' is not a module of the student; did you "
            'mean backbone.layer2'
        ) in message
        message = fail(run_tool, student, student, '--branches', 'head.fc')
        assert "'head.fc' of the student gives no feature" in message
        for number in ('40', '-1'):
            message = fail(run_tool, student, student, '--branches', number)
            assert 'The number of branches should be 1 to ' in message
        message = fail(run_tool, student, 'missing.py')
        assert "but 'missing.py' is neither (looked from" in message
        for path in (
            'mmpretrain::missing.py',
            'mmpretrain::resnet/no.py',
            'missing::resnet/no.py',
        ):
            assert (
                'config should be "package::folder/name.py" of a package '
                f'that ships it, but {path!r} is not: '
            ) in fail(run_tool, student, path)
        message = fail(run_tool, student, student, '-o', 'missing/a.py')
        assert '-o should be a file in a folder that is there' in message

    def test_no_classifier(self, run_tool, write):
        student = write('resnet', RESNET)
        headless = {k: v for k, v in RESNET.items() if k != 'head'}
        teacher = write('headless', headless)
        assert (
            'the teacher should be a classifier, which returns logits '
            '(N, K), but ImageClassifier returns a tuple'
        ) in fail(run_tool, student, teacher)
        algorithm = write('kd', dict(type='any', architecture=RESNET))
        assert (
            'kd.py should be the config of a plain classifier, but its '
            'model is an algorithm with a student'
        ) in fail(run_tool, algorithm, student)

    def test_pure_python(self, run_tool, write):
        Path('new.py').write_text(
            'from mmpretrain.models import ImageClassifier\n'
            'model = dict(type=ImageClassifier)\n'
        )
        message = fail(run_tool, 'new.py', write('resnet', RESNET))
        assert 'new.py should name types by strings' in message

    def test_classes(self, run_tool, write):
        student = write('resnet', RESNET)
        other = dict(RESNET, head=dict(RESNET['head'], num_classes=100))
        assert ('the student has 10 and the teacher 100: take two') in fail(
            run_tool, student, write('other', other)
        )

    def test_sizes(self, run_tool, write):
        student = write('resnet', RESNET)
        pipeline = [dict(type='RandomResizedCrop', scale=64)]
        dataset = dict(type='CIFAR10', data_root='data', pipeline=pipeline)
        Config(
            dict(RUN, model=VIT, train_dataloader=dict(dataset=dataset))
        ).dump('large.py')
        message = fail(run_tool, student, 'large.py')
        assert (
            'resnet is trained on images of shape (3, 32, 32) and large '
            'on (3, 64, 64): choose by --dataset-from student'
        ) in message
        message = fail(run_tool, student, student, '--shape', '1,32,32')
        assert 'does not run on images of shape (1, 32, 32)' in message

    def test_data(self, run_tool, write):
        Config(dict(model=RESNET, default_scope='mmpretrain')).dump('bare.py')
        assert 'bare.py should have the data to train on' in fail(
            run_tool, 'bare.py', 'bare.py'
        )
        Config(
            dict(
                model=RESNET,
                default_scope='mmpretrain',
                train_dataloader=dict(dataset=dict(type='Own')),
            )
        ).dump('own.py')
        assert 'own.py does not tell the shape of the images' in fail(
            run_tool, 'own.py', 'own.py'
        )

    def test_logits_that_no_module_returns(self, run_tool, write):
        student = write('resnet', RESNET)
        message = fail(run_tool, student, student, '--teacher-logits', 'neck')
        assert (
            'A module of the teacher should return the logits (N, 10), '
            "but 'neck' does not: give --teacher-logits NAME; modules "
            'that return this shape are head.fc, head'
        ) in message


def test_a_config_that_does_not_train(run_tool, write):
    # As those of LeViT and EfficientFormer, which MMPretrain does not train.
    student = write(
        'resnet',
        RESNET,
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=1e30)),
    )
    message = fail(run_tool, student, student)
    assert (
        'dskd_resnet_resnet.py is not written, as the config does not train: The losses '
        'should be finite, but got'
    ) in message
    assert not Path('dskd_resnet_resnet.py').is_file()
