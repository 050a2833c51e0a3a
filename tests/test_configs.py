"""Every config trains, and the config of the design as it stands."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import mmcv
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config

from mmdskd.models import DSKDLoss
from mmdskd.pairing.dry_run import settle
from mmdskd.registry import MODELS

ROOT = Path(__file__).resolve().parents[1]
# But for those that need what another run has left: see test_mixing.py.
CONFIGS = sorted(
    path.relative_to(ROOT / 'configs')
    for method in ('vanilla', 'kd', 'dskd', 'mix')
    for path in (ROOT / 'configs' / method).rglob('*.py')
    if not re.search('prune-|-l1_|-fisher_', path.name)
)


def test_there_are_configs():
    names = {path.parts[0] for path in CONFIGS}
    assert names == {'vanilla', 'kd', 'dskd', 'mix'}


# What ``make test`` trains: of every family and data set one, and the digits,
# which are fast. The others are slow.
QUICK = {
    'resnet20_1xb64_cifar100',
    'wrn16-2_1xb64_cifar100',
    'vgg8_1xb64_cifar100',
    'mobilenetv2_1xb64_cifar100',
    'shufflenetv2_1xb256_tiny-imagenet',
    'resnet50_1xb64_cifar100',
    'kd_resnet56_resnet20_1xb64_cifar100',
    'kd_vgg13_mobilenetv2_1xb256_tiny-imagenet',
    'dskd_resnet32x4_vgg8_1xb64_cifar100',
    'dskd_wrn40-2_shufflenetv1_1xb64_cifar100',
    'dskd_wrn40-2_wrn16-2_1xb256_tiny-imagenet',
    'dskd_resnet34_resnet18_8xb32_in1k',
    'dskd-crd_resnet32x4_resnet8x4_1xb64_cifar100',
}
BATCH = 4


def config_param(path):
    quick = path.stem in QUICK or path.stem.endswith('digits')
    return pytest.param(
        path, id=path.stem, marks=() if quick else pytest.mark.slow
    )


def test_quick_configs_exist():
    assert {path.stem for path in CONFIGS} >= QUICK


@pytest.fixture(scope='session')
def imagenet_folder(tmp_path_factory):
    """Eight images per split, in the layout of ImageNet-1k."""
    root = tmp_path_factory.mktemp('imagenet')
    random = np.random.RandomState(0)
    for split in ('train', 'val'):
        lines = []
        for i in range(2 * BATCH):
            name = f'n{i % 4:08}/{i}.JPEG'
            (root / split / name).parent.mkdir(parents=True, exist_ok=True)
            image = random.randint(0, 256, (240, 260, 3), dtype=np.uint8)
            mmcv.imwrite(image, str(root / split / name))
            lines.append(f'{name} {random.randint(1000)}')
        (root / 'meta').mkdir(exist_ok=True)
        (root / 'meta' / f'{split}.txt').write_text('\n'.join(lines))
    return root


def source(loader):
    """The data set that reads images, be it wrapped or not."""
    dataset = loader.dataset
    while 'dataset' in dataset:
        dataset = dataset.dataset
    return dataset


@pytest.fixture
def data(request):
    """Arguments of the data sets of a config that let them read a small
    folder in their layout."""

    def find(cfg):
        name = source(cfg.train_dataloader).type
        if name == 'mmdskd.Digits':
            return {}
        if name == 'mmdskd.CIFAR100':
            write = request.getfixturevalue('cifar_folder')
            return dict(data_root=str(write()))
        if name == 'mmdskd.TinyImageNet':
            write = request.getfixturevalue('tiny_imagenet_folder')
            return dict(data_root=str(write()), check_complete=False)
        assert name == 'ImageNet'
        folder = request.getfixturevalue('imagenet_folder')
        return dict(data_root=str(folder))

    return find


@pytest.mark.parametrize('config', [config_param(p) for p in CONFIGS])
def test_config_trains(config, build_runner, tmp_path, data):
    """Two iterations with the networks, losses and pipelines of the config,
    and a validation."""
    cfg = Config.fromfile(ROOT / 'configs' / config)
    arguments = data(cfg)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        source(loader).update(arguments)
        loader.batch_size = BATCH
        loader.num_workers = 0
        loader.persistent_workers = False
        source(loader).indices = 2 * BATCH
    cfg.work_dir = str(tmp_path)
    cfg.train_cfg = dict(by_epoch=True, max_epochs=1)
    cfg.default_hooks.checkpoint = None  # up to 250 MB, and tested elsewhere
    cfg.custom_hooks = [
        hook
        for hook in cfg.get('custom_hooks', [])
        if hook.type != 'mmdskd.StudentCheckpointHook'
    ]
    distils = 'teacher' in cfg.model
    if distils:
        cfg.model.teacher_ckpt = None  # trained by another config
    runner = build_runner(cfg)
    model = runner.model
    model.init_weights()
    if distils:
        batch = next(iter(runner.build_dataloader(cfg.train_dataloader)))
        settle(model.teacher, model.data_preprocessor(batch)['inputs'])
        before = {k: v.clone() for k, v in model.teacher.state_dict().items()}
    gradients = dict()
    for name, param in model.named_parameters():
        if param.requires_grad:
            param.register_hook(
                lambda grad, name=name: gradients.update({name: grad})
            )
    runner.train()

    for name, param in model.named_parameters():
        assert gradients[name].isfinite().all(), name
        assert gradients[name].abs().sum() > 0, name
    if distils:
        for name, value in model.teacher.state_dict().items():
            assert torch.equal(value, before[name]), name
    scalars = runner.message_hub.log_scalars
    losses = [key for key in scalars if 'loss' in key]
    assert len(losses) >= 1 + 2 * distils
    for key in losses:
        assert len(scalars[key].data[0]) == 2
        assert np.isfinite(scalars[key].data[0]).all(), key
    assert 0 <= scalars['val/accuracy/top1'].current() <= 100
    if config.stem.startswith('dskd'):
        (loss,) = [
            module
            for module in model.distiller.distill_losses.values()
            if isinstance(module, DSKDLoss)
        ]
        last = loss.num_branches - 1
        assert {
            f'train/dskd.logit_{last}',
            f'train/dskd.weight_feat_{last}',
        } <= set(scalars)
        assert (
            model.student.head.num_classes
            == model.distiller.connectors['heads'].num_classes
        )


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
    cfg = Config.fromfile(ROOT / 'configs' / config)
    _, teacher, student, *ending = config.stem.split('_')
    folder = ROOT / 'configs/vanilla' / config.parts[1]
    plain = {
        name: Config.fromfile(folder / f'{"_".join([name, *ending])}.py')
        for name in (teacher, student)
    }
    assert cfg.model.teacher == plain[teacher].model
    assert cfg.model.architecture == plain[student].model
    epochs = plain[teacher].train_cfg.max_epochs
    assert cfg.model.teacher_ckpt == (
        f'work_dirs/{"_".join([teacher, *ending])}/epoch_{epochs}.pth'
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
        assert cfg[key] == plain[student][key], key


@pytest.mark.parametrize(
    'config',
    [path for path in CONFIGS if path.parts[0] == 'dskd'],
    ids=lambda path: path.stem,
)
def test_kd_is_dskd_without_its_parts(config):
    """Student, teacher, data and schedule of both are the same."""
    name = re.sub('dskd(-[a-z]+)?_', 'kd_', config.name, count=1)
    dskd = Config.fromfile(ROOT / 'configs' / config).to_dict()
    kd = Config.fromfile(
        ROOT / 'configs/kd' / config.parts[1] / name
    ).to_dict()
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
    mix = Config.fromfile(ROOT / 'configs' / config).to_dict()
    dskd = Config.fromfile(
        ROOT / 'configs/dskd' / config.parts[1] / name
    ).to_dict()
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
    cfg = Config.fromfile(path)
    data = next(
        (ROOT / 'configs/_base_/datasets').glob(
            f'{data_set}_bs64_per_image.py'
        )
    )
    plain = Config.fromfile(data)
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
    cfg = Config.fromfile(ROOT / 'configs' / config)
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
    cfg = Config.fromfile(ROOT / 'configs' / config)
    assert cfg.optim_wrapper.optimizer == dict(
        type='SGD', lr=0.2, momentum=0.9, weight_decay=5e-4
    )
    assert cfg.param_scheduler.milestones == [60, 120, 160]
    assert cfg.train_cfg.max_epochs == 200
    assert cfg.train_dataloader.batch_size == 256
    assert cfg.auto_scale_lr.base_batch_size == 256


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


def test_config_of_the_design_in_a_script(tmp_path):
    """It imports mmdskd and mmrazor only, and no config of ours."""
    script = tmp_path / 'script.py'
    script.write_text(
        textwrap.dedent("""
        import mmdskd
        import mmrazor
        import torch
        from mmengine.runner import Runner

        def classifier(depth):
            return dict(
                _scope_='mmpretrain', type='ImageClassifier',
                backbone=dict(
                    type='mmdskd.CIFARResNet', depth=depth, stem_channels=32,
                    stage_channels=(64, 128, 256)),
                neck=dict(type='GlobalAveragePooling'),
                head=dict(
                    type='LinearClsHead', num_classes=100, in_channels=256,
                    loss=dict(type='CrossEntropyLoss', loss_weight=1.0)))

        student, teacher, teacher_ckpt = classifier(8), classifier(14), None

        model = dict(
            type='mmrazor.SingleTeacherDistill', _scope_='mmrazor',
            architecture=student, teacher=teacher, teacher_ckpt=teacher_ckpt,
            distiller=dict(
                type='ConfigurableDistiller',
                student_recorders=dict(
                    shallow=dict(type='mmdskd.MultiModuleOutputs',
                                 sources=['backbone.layer1',
                                          'backbone.layer2']),
                    logits=dict(type='ModuleOutputs', source='head.fc'),
                    gt_labels=dict(type='ModuleInputs',
                                   source='head.loss_module')),
                teacher_recorders=dict(
                    feat=dict(type='ModuleOutputs', source='backbone.layer3'),
                    logits=dict(type='ModuleOutputs', source='head.fc')),
                connectors=dict(
                    heads=dict(type='mmdskd.DSKDConnector',
                               in_channels=[64, 128], strides=[4, 2],
                               out_channels=256, num_classes=100)),
                distill_losses=dict(
                    loss_kd=dict(type='KLDivergence', tau=4, loss_weight=1.0),
                    loss_dskd=dict(
                        type='mmdskd.DSKDLoss', num_branches=2,
                        logit_loss=dict(type='KLDivergence', tau=4,
                                        loss_weight=1.0),
                        feat_loss=dict(type='L2Loss', normalize=False,
                                       div_element=True, loss_weight=1.0))),
                loss_forward_mappings=dict(
                    loss_kd=dict(
                        preds_S=dict(from_student=True, recorder='logits'),
                        preds_T=dict(from_student=False, recorder='logits')),
                    loss_dskd=dict(
                        branches=dict(from_student=True, recorder='shallow',
                                      connector='heads'),
                        preds_T=dict(from_student=False, recorder='logits'),
                        feat_T=dict(from_student=False, recorder='feat'),
                        gt_labels=dict(from_student=True,
                                       recorder='gt_labels', data_idx=1)))))
        custom_hooks = [
            dict(type='mmdskd.LossWeightSchedulerHook', loss='loss_dskd',
                 strategy='softmax', ema_decay=0.9, interval=1)]

        images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)
        samples = []
        for index, image in enumerate(images):
            from mmpretrain.structures import DataSample
            samples.append(dict(
                inputs=image, data_samples=DataSample().set_gt_label(index)))
        runner = Runner(
            model=model, work_dir='work_dir', custom_hooks=custom_hooks,
            data_preprocessor=dict(
                type='mmpretrain.ClsDataPreprocessor', mean=[127.] * 3,
                std=[60.] * 3),
            train_dataloader=dict(
                dataset=samples, batch_size=4,
                sampler=dict(type='DefaultSampler', shuffle=True)),
            train_cfg=dict(by_epoch=True, max_epochs=1),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
            default_hooks=dict(logger=dict(type='LoggerHook', interval=1)))
        runner.train()
        """)
    )
    result = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    output = result.stdout + result.stderr
    assert result.returncode == 0, output[-3000:]
    assert 'Epoch(train) [1][2/2]' in output
    for key in (
        'distill.loss_kd',
        'distill.loss_dskd',
        'dskd.logit_0',
        'dskd.logit_1',
        'dskd.weight_feat_1',
    ):
        assert f'{key}: ' in output
