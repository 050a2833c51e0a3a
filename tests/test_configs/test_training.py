"""Every config trains, and the config of the design as it stands."""

import textwrap

import mmcv
import numpy as np
import pytest
import torch
from mmengine.config import Config
from test_configs.tree import CONFIGS, ROOT, source

from mmdskd.models import DSKDLoss
from mmdskd.pairing.dry_run import update_bn


def test_there_are_configs():
    names = {path.parts[0] for path in CONFIGS}
    assert names == {'vanilla', 'kd', 'dskd', 'mix'}


# What ``make test`` trains: of every family and data set one, and the digits,
# which are fast, with all losses. The others are slow.
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
    'resnet18_1xb64_fashion-mnist',
    'kd_resnet20_resnet20-thin_1xb64_fashion-mnist',
    'dskd_resnet20_mobilenetv2-thin_1xb64_fashion-mnist',
    'dskd_resnet18_resnet18-thin_1xb64_fashion-mnist6k',
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
        if name == 'mmdskd.FashionMNIST':
            write = request.getfixturevalue('fashion_mnist_folder')
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
    images = BATCH if config.parts[1] == 'imagenet' else 2 * BATCH
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        source(loader).update(arguments)
        loader.batch_size = images // 2
        loader.num_workers = 0
        loader.persistent_workers = False
        source(loader).indices = images
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
        update_bn(model.teacher, model.data_preprocessor(batch)['inputs'])
        before = {k: v.clone() for k, v in model.teacher.state_dict().items()}
    gradients = dict()
    for name, param in model.named_parameters():
        if param.requires_grad:
            param.register_hook(
                lambda grad, name=name: gradients.update({name: grad})
            )
    runner.train()

    for name, _ in model.named_parameters():
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
    hits = scalars['val/accuracy/top1'].current() * images / 100
    assert hits == round(hits)  # of all images of the validation
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


SCRIPT = textwrap.dedent("""
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


def test_config_of_the_design_in_a_script(tmp_path, monkeypatch):
    """It imports mmdskd and mmrazor only, and no config of ours."""
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(SCRIPT, 'script.py', 'exec'), names)
    scalars = names['runner'].message_hub.log_scalars
    for key in (
        'distill.loss_kd',
        'distill.loss_dskd',
        'dskd.logit_0',
        'dskd.logit_1',
        'dskd.weight_feat_1',
    ):
        values = scalars[f'train/{key}'].data[0]
        assert len(values) == 2  # iterations
        assert np.isfinite(values).all()
