"""docs/mixing.md: after pruning."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from test_mixing.page import BATCH_SIZE, ROOT, scalars, section, shorten

from mmdskd.engine.checks.augmentation_check import check_augmentation
from mmdskd.engine.checks.distillation_check import check_distillation
from mmdskd.export.deployment import export_run
from mmdskd.export.export_settings import Settings
from mmdskd.utils import resolve_auto

PRUNED = 'work_dirs/prune-l1_resnet20_1xb64_digits'


def prune(build_runner, folder, name, epochs, **changes):
    """Run a pruning config on few images, from random weights."""
    cfg = Config.fromfile(ROOT / f'configs/mix/digits/{name}.py')
    shorten(cfg, epochs)
    cfg.merge_from_dict(changes)
    cfg.custom_hooks = []
    del cfg.model.architecture.init_cfg
    cfg.train_cfg.val_interval = epochs
    cfg.work_dir = str(folder / 'work_dirs' / name)
    runner = build_runner(cfg)
    runner.train()
    return runner


@pytest.fixture(scope='module')
def pruned_by_l1(build_runner, tmp_path_factory):
    """The folder of a pruning run, and the network that it left."""
    folder = tmp_path_factory.mktemp('l1')
    changes = {'model.prune_times': 2}
    runner = prune(build_runner, folder, Path(PRUNED).name, 2, **changes)
    runner.model.eval()
    return folder / PRUNED, runner.model


def check_deployed(work_dir):
    """The pruned student of a run can be exported."""
    found = export_run(
        work_dir, 'pruned.pt', settings=Settings(num_images=10), force=True
    )
    assert found.comparison.agreeing == 10
    # 42,000 parameters in 32 bits before the pruning
    assert Path('pruned.pt').stat().st_size < 100000


def test_a_pruning_that_is_not_finished_is_not_deployed(
    tmp_path, pruned_by_l1
):
    folder, _ = pruned_by_l1
    with pytest.raises(
        ValueError, match='its checkpoint holds all widths, of'
    ):
        export_run(str(folder), str(tmp_path / 'pruned.pt'))


def test_pruned_by_l1(tmp_path, start, build_runner, pruned_by_l1):
    folder, pruned = pruned_by_l1
    shutil.copytree(folder, tmp_path / PRUNED)
    [block] = section('After pruning')
    runner = start(block)
    student = runner.model.student
    assert student.backbone.layer1[0].conv1.weight.shape == (4, 4, 3, 3)
    assert student.backbone.layer3[2].conv2.weight.shape == (16, 16, 3, 3)
    assert student.head.fc.weight.shape == (10, 16)
    # A quarter of the channels both ways is a sixteenth of the weights.
    size = sum(param.numel() for param in student.parameters())
    whole = sum(param.numel() for param in runner.model.teacher.parameters())
    assert size < whole / 15
    # It starts as the pruned network.
    runner.model.init_weights()
    student.eval()
    images = torch.randn(2, 1, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(student(images), pruned(images))

    # The exported student needs no file of the pruning.
    runner.train()
    score = runner.message_hub.get_scalar('val/accuracy/top1').current()
    shutil.rmtree(tmp_path / PRUNED)
    cfg = Config.fromfile('work_dirs/block/student_config.py')
    cfg.work_dir = 'work_dirs/student'
    cfg.load_from = 'work_dirs/block/best_accuracy_top1_epoch_1_student.pth'
    exported = build_runner(cfg)
    exported.test_dataloader.dataset.get_subset_(2 * BATCH_SIZE)
    assert exported.test()['accuracy/top1'] == score
    ours = exported.model.state_dict()
    assert set(ours) == set(student.state_dict())
    for name, value in student.state_dict().items():
        assert torch.equal(ours[name], value), name
    check_deployed('work_dirs/block')


def test_plain_fine_tuning_of_the_pruned(
    tmp_path, start, build_runner, pruned_by_l1
):
    folder, pruned = pruned_by_l1
    shutil.copytree(folder, tmp_path / PRUNED)
    name = 'finetune_resnet20-l1_1xb64_digits'
    cfg = Config.fromfile(ROOT / f'configs/mix/digits/{name}.py')
    shorten(cfg)
    cfg.custom_hooks = []
    cfg.work_dir = f'work_dirs/{name}'
    runner = build_runner(cfg)
    preprocessor = runner.model.data_preprocessor
    assert [
        type(augment).__name__ for augment in preprocessor.augments.augments
    ] == ['BatchRandomCrop']
    assert preprocessor.mean.item() == pytest.approx(78.4)
    check_augmentation(runner)
    runner.model.init_weights()
    runner.model.eval()
    images = torch.randn(2, 1, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(runner.model(images), pruned(images))
    runner.train()
    check_deployed(cfg.work_dir)

    del cfg.model.cfg['data_preprocessor']
    with pytest.raises(
        ValueError, match='MMRazor drops a data_preprocessor beside'
    ):
        check_augmentation(build_runner(cfg))


def test_pruned_by_group_fisher(tmp_path, monkeypatch, build_runner):
    monkeypatch.chdir(tmp_path)
    name = 'prune-fisher_resnet20_1xb64_digits'
    runner = prune(build_runner, tmp_path, name, epochs=1)
    mutator = runner.model.mutator
    total = sum(unit.num_channels for unit in mutator.mutable_units)
    assert total == 384
    left = sum(mutator.current_choices.values())
    # A channel in each iteration
    assert total - left == runner.iter == 2
    # It judges them by the gradients of what the convolutions take.
    inputs = []
    conv = runner.model.architecture.backbone.layer2[1].conv2
    handle = conv.register_forward_pre_hook(
        lambda module, args: args[0].retain_grad() or inputs.append(args[0])
    )
    batch = runner.model.data_preprocessor(
        next(iter(runner.train_dataloader)), training=True
    )
    mutator.start_record_info()
    runner.model(**batch, mode='loss')['loss'].backward()
    mutator.end_record_info()
    handle.remove()
    assert inputs[0].grad.any()
    assert torch.equal(conv.recorded_grad[0], inputs[0].grad)
    mutator.reset_recorded_info()

    name = 'dskd_resnet20_resnet20-fisher_1xb64_digits'
    cfg = Config.fromfile(ROOT / f'configs/mix/digits/{name}.py')
    resolve_auto(shorten(cfg))
    cfg.work_dir = 'work_dirs/dskd'
    dskd = build_runner(cfg)
    dskd.model.init_weights()
    student = dskd.model.student
    student.eval()
    runner.model.eval()
    images = torch.randn(2, 1, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(student(images), runner.model(images))
    assert cfg.model.distiller.connectors.heads.in_channels == [
        student.backbone.layer1[-1].conv2.out_channels,
        student.backbone.layer2[-1].conv2.out_channels,
    ]
    dskd.train()
    assert len(scalars(dskd, 'distill.loss_dskd')) == 2


@pytest.mark.slow
def test_configs_of_cifar100(
    tmp_path, monkeypatch, build_runner, cifar_folder
):
    """Prune, recover in three ways, and distil without a teacher."""
    monkeypatch.chdir(tmp_path)
    folder = ROOT / 'configs/mix/cifar100'
    data_root = str(cifar_folder())
    channels = {
        'dskd_resnet32x4_resnet32x4-l1': (32, 64, 128),
        'prune-fisher_resnet32x4': (64, 128, 256),
    }
    names = (
        'prune-l1_resnet32x4',
        'finetune_resnet32x4-l1',
        'kd_resnet32x4_resnet32x4-l1',
        'dskd_resnet32x4_resnet32x4-l1',
        'prune-fisher_resnet32x4',
        'finetune_resnet32x4-fisher',
        'dskd_resnet32x4_resnet32x4-fisher',
        'dskd-self_resnet8x4',
    )
    for name in names:
        cfg = Config.fromfile(folder / f'{name}_1xb64_cifar100.py')
        shorten(cfg, batch_size=4, data_root=data_root)
        cfg.custom_hooks = [
            hook for hook in cfg.custom_hooks if 'mmdskd' in hook.type
        ]
        if 'prune' in name:
            del cfg.model.architecture.init_cfg
            cfg.train_cfg.val_interval = 1
        if 'l1' in name and 'prune' in name:
            cfg.train_cfg.max_epochs = cfg.model.prune_times = 2
        cfg.work_dir = f'work_dirs/{name}_1xb64_cifar100'
        runner = build_runner(resolve_auto(cfg))
        check_distillation(runner.model)
        check_augmentation(runner)
        runner.train()
        assert runner.iter == 2 * cfg.train_cfg.max_epochs
        for key, losses in runner.message_hub.log_scalars.items():
            if 'loss' in key:
                assert len(losses.data[0]) == runner.iter, key
                assert np.isfinite(losses.data[0]).all(), key
        if name in channels:
            backbone = runner.model.architecture.backbone
            assert channels[name] == tuple(
                getattr(backbone, layer)[-1].conv2.out_channels
                for layer in ('layer1', 'layer2', 'layer3')
            )
        if name == 'prune-fisher_resnet32x4':
            units = runner.model.mutator.mutable_units
            assert sum(unit.num_channels for unit in units) == 2464
