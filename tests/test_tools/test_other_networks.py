"""Networks of other libraries, from their configs to the exported student."""

import copy
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmengine.registry import MODELS, TRANSFORMS, DefaultScope

HEAD = dict(type='LinearClsHead', num_classes=10)
POOLING = dict(type='GlobalAveragePooling')
TEACHER = dict(
    type='ImageClassifier',
    backbone=dict(type='mmdskd.CIFARResNet', depth=8),
    neck=POOLING,
    head=dict(HEAD, in_channels=64),
)
TIMM = dict(type='TimmClassifier', num_classes=10)
VIT = dict(
    TIMM,
    model_name='vit_tiny_patch16_224',
    img_size=32,
    patch_size=8,
    embed_dim=16,
    depth=4,
    num_heads=2,
)
STUDENTS = {
    'timm': dict(TIMM, model_name='mobilenetv3_small_050'),
    'timm_vit': VIT,
    'timm_backbone': dict(
        type='ImageClassifier',
        backbone=dict(type='TIMMBackbone', model_name='mobilenetv2_035'),
        neck=POOLING,
        head=dict(HEAD, in_channels=1280),
    ),
    'timm_stages': dict(
        type='ImageClassifier',
        backbone=dict(
            type='TIMMBackbone', model_name='resnet10t', features_only=True
        ),
        neck=POOLING,
        head=dict(HEAD, in_channels=512),
    ),
    'torchvision': dict(
        type='mmdskd.TorchvisionClassifier',
        model_name='shufflenet_v2_x0_5',
        num_classes=10,
    ),
    'transformers': dict(
        type='HuggingFaceClassifier', model_name='vit', num_labels=10
    ),
}


@TRANSFORMS.register_module()
class ThreeChannels(BaseTransform):
    """Repeats the channel of digits."""

    def transform(self, results):
        image = np.atleast_3d(results['img'])
        results['img'] = np.repeat(image, 3, axis=-1)
        return results


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def write(plain_config):
    """Write the config of a training on digits of three channels."""

    def write(name: str, model: dict) -> str:
        cfg = copy.deepcopy(plain_config)
        cfg.model = dict(model, _scope_='mmpretrain')
        cfg.data_preprocessor = dict(
            num_classes=10, mean=[77.7] * 3, std=[33.3] * 3
        )
        for split in ('train', 'val', 'test'):
            cfg[f'{split}_dataloader'].dataset.update(
                indices=40,
                pipeline=[
                    dict(type='ThreeChannels'),
                    dict(type='Resize', scale=32),
                    dict(type='PackInputs'),
                ],
            )
        cfg.pop('work_dir')
        cfg.dump(f'{name}.py')
        return f'{name}.py'

    return write


def build(cfg) -> torch.nn.Module:
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(copy.deepcopy(cfg))


def save_vit() -> None:
    """Write the config of a network as that of the hub is."""
    transformers = pytest.importorskip('transformers')
    transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=8,
    ).save_pretrained('vit')


@pytest.mark.slow
@pytest.mark.parametrize('name', STUDENTS)
def test_from_config_to_student(name, write, run_tool, capsys):
    if name == 'transformers':
        save_vit()
    elif name != 'torchvision':
        pytest.importorskip('timm')
    teacher, student = write('teacher', TEACHER), write(name, STUDENTS[name])
    ckpt = dict(meta={}, state_dict=build(TEACHER).state_dict())
    torch.save(ckpt, 'teacher.pth')
    run_tool(
        'misc/make_dskd_config.py',
        student,
        teacher,
        '--teacher-ckpt',
        'teacher.pth',
        '-o',
        'dskd.py',
    )
    run_tool('train.py', 'dskd.py', '--work-dir', 'run')
    cfg = Config.fromfile('run/student_config.py')
    weights = torch.load('run/epoch_1_student.pth', weights_only=True)
    exported = build(cfg.model)
    exported.load_state_dict(weights['state_dict'])
    algorithm = build(Config.fromfile('dskd.py').model)
    whole = torch.load('run/epoch_1.pth', weights_only=False)
    algorithm.load_state_dict(whole['state_dict'])
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        ours = exported.eval()(images, mode='tensor')
        theirs = algorithm.architecture.eval()(images, mode='tensor')
        fresh = build(cfg.model).eval()(images, mode='tensor')
    assert torch.equal(last(ours), last(theirs))
    assert not torch.equal(last(ours), last(fresh))
    capsys.readouterr()
    accuracies = []
    for config, file in (
        ('dskd.py', 'run/epoch_1.pth'),
        ('run/student_config.py', 'run/epoch_1_student.pth'),
    ):
        run_tool('test.py', config, file, '--work-dir', 'test')
        printed = ''.join(capsys.readouterr())
        accuracies += re.findall(r'accuracy/top1: ([\d.]+)', printed)
    assert len(set(accuracies)) == 1 < len(accuracies)


def last(output):
    return output[-1] if isinstance(output, tuple) else output


@pytest.mark.parametrize(
    'model, message',
    [
        (
            dict(TIMM, model_name='resnet26x'),
            "but got 'resnet26x'; did you mean 'resnet26' or ",
        ),
        (
            dict(VIT, img_size=64),
            r'does not run on images of shape \(3, 32, 32\) \(.*\). It is '
            'built for images of 64x64: set img_size=32 beside its model_name '
            'or arch, or resize the images to 64x64',
        ),
        (
            dict(TIMM, model_name='resnet10t', num_classes=0),
            'student.py|teacher.py should be the config of an image '
            'classifier, but model.num_classes is 0',
        ),
        (
            dict(TIMM, model_name='resnet10t', features_only=True),
            'which returns logits .*, but TimmClassifier returns a list',
        ),
        (
            dict(
                type='ImageClassifier',
                backbone=dict(
                    type='TIMMBackbone', model_name='test_vit', img_size=32
                ),
                head=dict(HEAD, in_channels=64),
            ),
            r'returns logits \(N, K\), but ImageClassifier returns a tensor '
            r'of shape \(2, 5, 10\), one of each token: of timm, use '
            'TimmClassifier in place of TIMMBackbone',
        ),
    ],
)
def test_refused_before_a_config_is_written(model, message, write, run_tool):
    pytest.importorskip('timm')
    student, teacher = write('student', model), write('teacher', TEACHER)
    for pair in ((student, teacher), (teacher, student)):
        with pytest.raises(SystemExit) as error:
            run_tool('misc/make_dskd_config.py', *pair, '-o', 'dskd.py')
        assert re.search(message, error.value.code), error.value.code
        assert '\n' not in error.value.code.strip()
        assert not Path('dskd.py').exists()


def test_refused_before_training(write, run_tool):
    """In a config that is written by hand, or changed."""
    pytest.importorskip('timm')
    student, teacher = write('student', VIT), write('teacher', TEACHER)
    run_tool('misc/make_dskd_config.py', student, teacher, '-o', 'dskd.py')
    torch.save(dict(state_dict=build(TEACHER).state_dict()), 'teacher.pth')
    options = ['--work-dir', 'run', '--cfg-options']
    options.append('model.teacher_ckpt=teacher.pth')
    with pytest.raises(
        ValueError, match="'vit_tiny_patch16_225'; did you mean "
    ):
        run_tool(
            'train.py',
            'dskd.py',
            *options,
            'model.architecture.model_name=vit_tiny_patch16_225',
        )
    with pytest.raises(
        ValueError,
        match='model.architecture should run on its images, but those are '
        r'32x32 \(AssertionError: .*\). It is built for images of 64x64: set '
        'img_size=32 beside',
    ):
        run_tool(
            'train.py', 'dskd.py', *options, 'model.architecture.img_size=64'
        )
