"""Every config trains, and the config of the design as it stands."""
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted(
    path.relative_to(ROOT / 'configs')
    for method in ('vanilla', 'kd', 'dskd')
    for path in (ROOT / 'configs' / method).rglob('*.py'))


def test_there_are_configs():
    names = {path.parts[0] for path in CONFIGS}
    assert names == {'vanilla', 'kd', 'dskd'}


def write_cifar100(root):
    """Write 16 images per split in the official layout."""
    folder = root / 'cifar-100-python'
    folder.mkdir(parents=True)
    random = np.random.RandomState(0)
    for split in ('train', 'test'):
        content = dict(
            data=random.randint(0, 256, (16, 3072), dtype=np.uint8),
            fine_labels=random.randint(0, 100, 16).tolist())
        (folder / split).write_bytes(pickle.dumps(content))
    names = [f'class {i}' for i in range(100)]
    (folder / 'meta').write_bytes(pickle.dumps(dict(fine_label_names=names)))


@pytest.mark.parametrize('config', CONFIGS, ids=lambda path: path.stem)
def test_config_trains(config, build_runner, tmp_path, monkeypatch):
    cfg = Config.fromfile(ROOT / 'configs' / config)
    if config.parts[1] == 'cifar100':
        write_cifar100(tmp_path / 'data')
        # The checksum is that of the whole archive.
        monkeypatch.setattr('mmpretrain.datasets.CIFAR100._check_integrity',
                            lambda self: True)
        for loader in (cfg.train_dataloader, cfg.val_dataloader):
            loader.dataset.data_root = str(tmp_path / 'data')
    cfg.work_dir = str(tmp_path)
    cfg.train_cfg = dict(by_epoch=True, max_epochs=1)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.batch_size = 8
        loader.dataset.indices = 16
    distils = 'teacher' in cfg.model
    if distils:
        cfg.model.teacher_ckpt = None  # trained by another config
    runner = build_runner(cfg)
    runner.model.init_weights()
    before = {k: v.clone() for k, v in runner.model.state_dict().items()}
    gradients = dict()
    for name, param in runner.model.named_parameters():
        if param.requires_grad:
            param.register_hook(
                lambda grad, name=name: gradients.update({name: grad}))
    runner.train()

    for name, param in runner.model.named_parameters():
        if name.startswith('teacher.'):
            assert name not in gradients
            assert torch.equal(param, before[name])
        else:
            assert gradients[name].isfinite().all(), name
            assert gradients[name].abs().sum() > 0, name
    scalars = runner.message_hub.log_scalars
    losses = [key for key in scalars if 'loss' in key]
    assert len(losses) >= 1 + 2 * distils
    for key in losses:
        assert scalars[key].data[0].size and all(
            abs(value) < 1e6 for value in scalars[key].data[0]), key
    if config.parts[0] == 'dskd':
        assert {'train/dskd.logit_1', 'train/dskd.weight_feat_0'
                } <= set(scalars)


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
        """))
    result = subprocess.run([sys.executable, script],
                            cwd=tmp_path,
                            capture_output=True,
                            text=True,
                            timeout=300)
    output = result.stdout + result.stderr
    assert result.returncode == 0, output[-3000:]
    assert 'Epoch(train) [1][2/2]' in output
    for key in ('distill.loss_kd', 'distill.loss_dskd', 'dskd.logit_0',
                'dskd.logit_1', 'dskd.weight_feat_1'):
        assert f'{key}: ' in output
