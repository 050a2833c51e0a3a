"""What the configs say."""

import re

import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config
from test_configs.tree import CONFIGS, ROOT, load, source

from mmdskd.registry import MODELS

PAIRS = dict(
    cifar100={
        'resnet56_resnet20',
        'resnet110_resnet20',
        'resnet110_resnet32',
        'resnet32x4_resnet8x4',
        'wrn40-2_wrn16-2',
        'wrn40-2_wrn40-1',
        'vgg13_vgg8',
        'resnet32x4_vgg8',
        'vgg13_mobilenetv2',
        'resnet50_mobilenetv2',
        'resnet50_vgg8',
        'wrn40-2_mobilenetv2',
        'resnet32x4_shufflenetv1',
        'resnet32x4_shufflenetv2',
        'wrn40-2_shufflenetv1',
    },
    tiny_imagenet={
        'resnet110_resnet20',
        'resnet32x4_resnet8x4',
        'wrn40-2_wrn16-2',
        'vgg13_vgg8',
        'vgg13_mobilenetv2',
        'resnet32x4_shufflenetv2',
    },
    imagenet={'resnet34_resnet18', 'resnet50_mobilenetv2'},
    fashion_mnist={
        'resnet20_resnet20-thin',
        'resnet20_resnet56-thin',
        'resnet18_resnet18-thin',
        'resnet20_mobilenetv2-thin',
    },
    digits32={'resnet32x4_resnet8x4', 'wrn40-2_shufflenetv1'},
)


@pytest.mark.parametrize('data_set', PAIRS)
def test_pairs_of_the_field(data_set):
    for method in ('kd', 'dskd'):
        assert PAIRS[data_set] == {
            '_'.join(path.stem.split('_')[1:3])
            for path in CONFIGS
            if path.parts[:2] == (method, data_set)
        }


@pytest.mark.parametrize(
    'config',
    [
        path
        for path in CONFIGS
        if path.parts[0] == 'kd' and path.parts[1] != 'imagenet'
    ],
    ids=lambda path: path.stem,
)
def test_parts_are_those_of_the_plain_configs(config):
    """The teacher is what its config leaves at its end, and the student is
    trained as without a teacher."""
    cfg = load(ROOT / 'configs' / config)
    _, teacher, student, *ending = config.stem.split('_')
    folder = ROOT / 'configs/vanilla' / config.parts[1]
    # A teacher has seen all images.
    of_teacher = '_'.join([teacher, *ending]).replace('mnist6k', 'mnist')
    plain_teacher = load(folder / f'{of_teacher}.py')
    plain_student = load(folder / f'{"_".join([student, *ending])}.py')
    assert cfg.model.teacher == plain_teacher.model
    assert cfg.model.architecture == plain_student.model
    epochs = plain_teacher.train_cfg.max_epochs
    assert cfg.model.teacher_ckpt == (
        f'work_dirs/{of_teacher}/epoch_{epochs}.pth'
    )
    for key in (
        'train_dataloader',
        'val_dataloader',
        'data_preprocessor',
        'optim_wrapper',
        'param_scheduler',
        'train_cfg',
        'auto_scale_lr',
    ):
        assert cfg[key] == plain_student[key], key


@pytest.mark.parametrize(
    'config',
    [path for path in CONFIGS if path.parts[0] == 'dskd'],
    ids=lambda path: path.stem,
)
def test_kd_is_dskd_without_its_parts(config):
    """Student, teacher, data and schedule of both are the same."""
    name = re.sub('dskd(-[a-z]+)?_', 'kd_', config.name, count=1)
    dskd = load(ROOT / 'configs' / config).to_dict()
    kd = load(ROOT / 'configs/kd' / config.parts[1] / name).to_dict()
    distiller = dskd['model']['distiller']
    for part, component in (
        ('student_recorders', 'shallow'),
        ('student_recorders', 'gt_labels'),
        ('teacher_recorders', 'feat'),
        ('distill_losses', 'loss_dskd'),
        ('loss_forward_mappings', 'loss_dskd'),
    ):
        del distiller[part][component]
    del distiller['connectors']
    if config.stem.startswith('dskd-last'):
        # What KD does to the last layer, its loss does.
        del distiller['student_recorders']['last_feat']
        for part in ('distill_losses', 'loss_forward_mappings'):
            assert 'loss_kd' not in distiller[part]
            distiller[part] = kd['model']['distiller'][part]
    assert (
        dskd['custom_hooks'].pop(0)['type'] == 'mmdskd.LossWeightSchedulerHook'
    )
    assert dskd == kd


@pytest.mark.parametrize(
    'config',
    [
        path
        for path in CONFIGS
        if path.parts[0] == 'mix' and 'dskd-self' not in path.stem
    ],
    ids=lambda path: path.stem,
)
def test_mix_is_dskd_with_other_losses(config):
    """Student, teacher, branches and schedule of both are the same, and data
    and augmentation where CRD does not need others."""
    name = re.sub('dskd-[a-z]+_', 'dskd_', config.name, count=1)
    mix = load(ROOT / 'configs' / config).to_dict()
    dskd = load(ROOT / 'configs/dskd' / config.parts[1] / name).to_dict()
    assert mix != dskd
    mapping = mix['model']['distiller']['loss_forward_mappings']['loss_dskd']
    distiller = dskd['model']['distiller']
    assert mapping == distiller['loss_forward_mappings']['loss_dskd']
    if 'dskd-crd' in config.stem:
        for part in (
            'student_recorders',
            'teacher_recorders',
            'connectors',
            'distill_losses',
        ):
            assert (
                distiller[part].items()
                <= mix['model']['distiller'][part].items()
            )
        for key in ('data_preprocessor', 'train_dataloader'):
            del mix[key], dskd[key]
    for cfg in (mix, dskd):
        del cfg['model']['distiller']
    assert mix == dskd


@pytest.mark.parametrize('data_set', ['digits', 'cifar100'])
def test_data_of_crd(data_set):
    """Augmented as the others are, of the length and with the negatives that
    the loss is told, and moved to the device by the preprocessor."""
    (path,) = (ROOT / 'configs/mix' / data_set).glob('dskd-crd_*.py')
    cfg = load(path)
    data = next(
        (ROOT / 'configs/_base_/datasets').glob(
            f'{data_set}_bs64_per_image.py'
        )
    )
    plain = load(data)
    assert source(cfg.train_dataloader).pipeline == [
        *plain.train_pipeline[:-1],
        dict(type='mmrazor.PackCRDClsInputs'),
    ]
    for key in ('mean', 'std'):
        assert cfg.data_preprocessor[key] == plain.data_preprocessor[key]
    loss = cfg.model.distiller.distill_losses.loss_crd
    assert loss.neg_num == cfg.train_dataloader.dataset.neg_num
    assert loss.sample_n == dict(digits=898, cifar100=50000)[data_set]
    connectors = cfg.model.distiller.connectors
    for connector, network in (
        ('crd_S', cfg.model.architecture),
        ('crd_T', cfg.model.teacher),
    ):
        assert connectors[connector].dim_in == network.head.in_channels
        assert connectors[connector].dim_out == 128


def small(path):
    """Whether the student is one of the small networks of CIFAR."""
    return path.stem.split('_')[-3].startswith(('mobile', 'shuffle'))


@pytest.mark.parametrize(
    'config',
    [path for path in CONFIGS if path.parts[1] == 'cifar100'],
    ids=lambda path: path.stem,
)
def test_recipe_of_cifar100(config):
    cfg = load(ROOT / 'configs' / config)
    assert cfg.optim_wrapper.optimizer == dict(
        type='SGD',
        lr=0.01 if small(config) else 0.05,
        momentum=0.9,
        weight_decay=5e-4,
    )
    assert cfg.param_scheduler.milestones == [150, 180, 210]
    assert cfg.param_scheduler.gamma == 0.1
    assert cfg.train_cfg.max_epochs == 240
    assert cfg.train_dataloader.batch_size == 64
    assert cfg.auto_scale_lr.base_batch_size == 64


@pytest.mark.parametrize(
    'config',
    [path for path in CONFIGS if path.parts[1] == 'tiny_imagenet'],
    ids=lambda path: path.stem,
)
def test_recipe_of_tiny_imagenet(config):
    cfg = load(ROOT / 'configs' / config)
    assert cfg.optim_wrapper.optimizer == dict(
        type='SGD', lr=0.2, momentum=0.9, weight_decay=5e-4
    )
    assert cfg.param_scheduler.milestones == [60, 120, 160]
    assert cfg.train_cfg.max_epochs == 200
    assert cfg.train_dataloader.batch_size == 256
    assert cfg.auto_scale_lr.base_batch_size == 256


@pytest.mark.parametrize(
    'config',
    [
        path
        for path in CONFIGS
        if path.stem.endswith('fashion-mnist6k')
        and path.parts[0] != 'mix'
        and 'dskd-' not in path.stem  # on 6,000 images only
    ],
    ids=lambda path: path.stem,
)
def test_budgets_of_fashion_mnist(config):
    """Number of images and length of training alone differ."""
    name = config.name.replace('mnist6k', 'mnist')
    small = load(ROOT / 'configs' / config).to_dict()
    full = load(ROOT / 'configs' / config.with_name(name)).to_dict()
    assert (
        small['train_dataloader']['dataset']['dataset'].pop('indices') == 6000
    )
    for cfg in (small, full):
        assert cfg['param_scheduler'].pop('end') == (
            cfg['train_cfg'].pop('max_epochs')
        )
    assert small == full


@pytest.mark.parametrize(
    'network, path',
    [
        ('resnet18', 'resnet/resnet18_8xb32_in1k.py'),
        ('resnet34', 'resnet/resnet34_8xb32_in1k.py'),
        ('resnet50', 'resnet/resnet50_8xb32_in1k.py'),
        ('mobilenetv2', 'mobilenet_v2/mobilenet-v2_8xb32_in1k.py'),
    ],
)
def test_networks_of_imagenet_are_mmpretrains(network, path):
    ours = Config.fromfile(
        ROOT / 'configs/_base_/models/imagenet' / f'{network}.py'
    )[network]
    theirs = get_config(f'mmpretrain::{path}').model
    theirs._scope_ = 'mmpretrain'
    ours, theirs = MODELS.build(ours), MODELS.build(theirs)
    ours.eval()
    theirs.eval()
    theirs.load_state_dict(ours.state_dict(), strict=True)
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(ours(image), theirs(image))


@pytest.mark.parametrize(
    'config',
    [path for path in CONFIGS if path.stem.startswith('dskd-last')],
    ids=lambda path: path.stem,
)
def test_the_last_layer_as_a_branch(config):
    """It differs from DSKD in what the base config changes, no more."""
    name = config.name.replace('dskd-last', 'dskd')
    last = load(ROOT / 'configs' / config).to_dict()
    dskd = load(ROOT / 'configs' / config.with_name(name)).to_dict()
    hook = last['custom_hooks'][0]
    assert hook.pop('strategy') == dict(type='softmax', normalize=False)
    assert dskd['custom_hooks'][0].pop('strategy') == 'softmax'
    distiller = last['model']['distiller']
    loss = distiller['distill_losses']['loss_dskd']
    assert loss.pop('last_layer') is True
    assert loss.pop('reduction') == 'mean'
    mapping = distiller['loss_forward_mappings']['loss_dskd']
    assert mapping.pop('preds_S') == dict(from_student=True, recorder='logits')
    assert mapping.pop('feat_S') == dict(
        from_student=True, recorder='last_feat', connector='last'
    )
    last_feat = distiller['student_recorders'].pop('last_feat')
    feat = distiller['teacher_recorders']['feat']
    assert last_feat['source'] == feat['source']
    del distiller['connectors']['last']
    for part in ('distill_losses', 'loss_forward_mappings'):
        del dskd['model']['distiller'][part]['loss_kd']
    assert last == dskd


@pytest.mark.parametrize('method', ['kd', 'dskd'])
def test_protocols_differ_in_one_line(method, tmp_path):
    """CE 1 + KL 1, and CE 0.1 + KL 0.9 by another base."""

    def weights(cfg):
        model = cfg.model
        loss = MODELS.build(
            dict(model.architecture.head.loss, _scope_='mmpretrain')
        )
        return (
            loss.loss_weight,
            model.distiller.distill_losses.loss_kd.loss_weight,
        )

    path = ROOT / (
        f'configs/{method}/cifar100/{method}_resnet32x4_resnet8x4_'
        '1xb64_cifar100.py'
    )
    cfg = Config.fromfile(path)
    assert weights(cfg) == (1, 1)
    text = path.read_text()
    assert text.count(f'/{method}.py') == 1
    other = path.with_name('other.py').name
    text = text.replace(f'/{method}.py', f'/{method}_crd.py')
    (tmp_path / other).write_text(text.replace('../..', str(ROOT / 'configs')))
    crd = Config.fromfile(tmp_path / other)
    assert weights(crd) == (0.1, 0.9)
    # On the command line it is the same.
    cfg.merge_from_dict(
        {
            'model.architecture.head.loss.loss_weight': 0.1,
            'model.distiller.distill_losses.loss_kd.loss_weight': 0.9,
        }
    )
    assert cfg.model == crd.model
