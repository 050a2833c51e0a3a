from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from plain_configs import RESNET, RUN

from mmdskd.pairing.notes import list_notes
from mmdskd.pairing.source_config import SourceConfig
from mmdskd.pairing.teacher_images import TeacherImages

WEIGHTS = dict(type='Pretrained', checkpoint='own.pth')
URL = 'https://any.pth'
SAME_IMAGES = TeacherImages({}, 'teacher.py')


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def source(name='student', **changes):
    cfg = Config(dict(RUN, model=RESNET))
    cfg.merge_from_dict(changes)
    return SourceConfig(name, f'{name}.py', cfg)


def notes(
    student=None,
    teacher=None,
    data=None,
    ckpt=URL,
    grid=(4, 4),
    frozen=(),
    images=SAME_IMAGES,
):
    student = student or source()
    teacher = teacher or source('teacher')
    layers = [
        SimpleNamespace(name=f'backbone.{name}', num_layers=number)
        for name, number in (('conv1', 1), ('layer1', 4), ('layer2', 4))
    ]
    plan = SimpleNamespace(
        student=SimpleNamespace(layers=layers),
        target=SimpleNamespace(grid=grid),
        frozen=frozen,
    )
    return list_notes(
        student, teacher, data or student, (3, 32, 32), ckpt, plan, images
    )


def test_nothing_to_tell():
    assert notes() == []


def test_weights_of_the_student():
    student = source(**{'model.backbone.init_cfg': WEIGHTS})
    assert notes(student) == [
        'the student starts from its own weights, model.backbone.init_cfg '
        '(own.pth); the trial did without them',
        'student.backbone.init_cfg names own.pth, but there is no such file '
        'yet',
    ]
    Path('own.pth').touch()
    assert len(notes(student)) == 1
    assert notes(source(**{'model.pretrained': True})) == [
        'the student starts from its own weights, model.pretrained (True); '
        'the trial did without them'
    ]


def test_weights_of_the_teacher():
    teacher = source('teacher', **{'model.backbone.init_cfg': WEIGHTS})
    assert notes(teacher=teacher) == [
        'teacher_ckpt replaces what the teacher starts from, '
        'model.backbone.init_cfg (own.pth)'
    ]
    teacher = source('teacher', **{'model.init_cfg': WEIGHTS})
    own = (
        'the teacher brings its own weights, model.init_cfg (own.pth): if it '
        'was trained from them on these data, name the result by '
        '--teacher-ckpt'
    )
    assert notes(teacher=teacher, ckpt='own.pth') == [
        own,
        'the checkpoint of the teacher, own.pth, is not there yet: name '
        'another one in teacher_ckpt',
    ]
    assert notes(teacher=teacher, ckpt=None) == [own]


def test_other_data_sets():
    path = 'train_dataloader.dataset'
    other = {f'{path}.type': 'CIFAR100', f'{path}.data_root': 'mine'}
    assert notes(teacher=source('teacher', **other)) == [
        "student is trained on {'type': 'CIFAR10', 'data_root': 'data'} and "
        "teacher on {'type': 'CIFAR100', 'data_root': 'mine'}: the classes "
        'must be the same ones in the same order, as logits are compared by '
        'their index'
    ]
    # Around the same data set, and by the way of its scope.
    wrapped = dict(RUN['train_dataloader'])
    wrapped['dataset'] = dict(
        type='ClassBalancedDataset',
        dataset=dict(wrapped['dataset'], type='mmpretrain.CIFAR10'),
    )
    teacher = source('teacher')
    teacher.cfg.train_dataloader = wrapped
    assert notes(teacher=teacher) == []
    teacher.cfg.train_dataloader = None
    assert notes(teacher=teacher) == []


def test_settings_that_are_not_used():
    student = source(randomness=dict(seed=3))
    teacher = source('teacher')
    assert notes(student, teacher) == []
    assert notes(student, teacher, data=teacher) == [
        'data, schedule and hooks are those of teacher.py; these of '
        'student.py are not used: randomness'
    ]


def test_settings_of_another_run():
    assert notes(source(work_dir='a', resume=True)) == [
        "work_dir='a' of student.py is that of another run, so this config "
        'has its own',
        'resume=True of student.py is for that run, so this config sets it '
        'to False',
    ]


@pytest.mark.parametrize(
    'key, told', [('head', True), ('backbone', False), ('head.fc', False)]
)
def test_settings_by_names_that_mean_the_heads(key, told):
    student = source()
    student.cfg.optim_wrapper.paramwise_cfg = dict(
        custom_keys={key: dict(lr_mult=10)}
    )
    assert notes(student) == told * [
        "optim_wrapper.paramwise_cfg.custom_keys of student.py: 'head' means "
        'the heads of the branches, too (distiller.connectors.heads), which '
        "get {'lr_mult': 10}; write 'architecture.head' to spare them"
    ]


def test_batch_norms_of_single_positions():
    assert notes(grid=(1, 2)) == []
    assert notes(grid=(1, 1)) == [
        'the feature of the teacher is 1x1, so a batch norm of the heads '
        'gets one value per image and channel: set '
        'train_dataloader.drop_last=True if the last batch may have one '
        'image, or take larger images or another --teacher-feature'
    ]


def test_frozen_stages():
    assert notes(frozen={'backbone.conv1'}) == []
    frozen = {'backbone.layer2', 'backbone.layer1', 'backbone.layer1.0'}
    assert notes(frozen=frozen) == [
        'these layers of the student are frozen, so they get no head, which '
        'would teach nothing: backbone.layer1, backbone.layer2'
    ]


def test_one_config_for_both():
    assert notes(source(), source()) == [
        'student and teacher are both student.py: the teacher teaches a '
        'network of its own kind'
    ]


def test_images_of_the_teacher():
    images = TeacherImages(
        dict(
            teacher_data_preprocessor=dict(mean=[1.0], std=[2.0], to_rgb=True),
            teacher_input_size=[64, 48],
        ),
        'teacher.py',
    )
    assert notes(images=images) == [
        'the teacher gets the images of student as it was trained on them, '
        'by teacher_data_preprocessor: mean [1.0], std [2.0], to_rgb True '
        '(teacher.py)',
        'the teacher gets images of 64x48, resized from 32x32 '
        '(teacher_input_size): its step costs as much as on its own images. '
        '--teacher-input-size N sets another size, and "data" that of the '
        'student',
    ]
    raw = TeacherImages(dict(teacher_data_preprocessor={}), 'teacher.py')
    assert notes(images=raw)[0].endswith('raw pixels (teacher.py)')
    assert notes(images=TeacherImages({})) == [
        'nothing says how the images of teacher were normalised: it gets them '
        'as those of student. Set model.teacher_data_preprocessor='
        'dict(mean=[...], std=[...], to_rgb=...) if it was trained on others'
    ]


def test_student_with_the_images_of_the_teacher():
    student = source()
    teacher = source('teacher', data_preprocessor=dict(mean=[3.0] * 3))
    told = (
        'the student gets the images of teacher, which are normalised in '
        'another way than those of its own config: mean [3.0, 3.0, 3.0], not '
        '[1.0, 1.0, 1.0]'
    )
    assert told in notes(student, teacher, teacher)
    student = source(**{'model.backbone.init_cfg': WEIGHTS})
    assert (
        f'{told}. As it starts from weights, set data_preprocessor to what '
        'they were trained with'
    ) in notes(student, teacher, teacher)
