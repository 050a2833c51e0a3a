import copy
import json
from pathlib import Path

import pytest
import torch
from mmengine.hooks import EMAHook, Hook
from mmengine.registry import HOOKS
from mmengine.runner import autocast

from mmdskd.models import (
    BaseBranchHead,
    DSKDConnector,
    MultiModuleOutputsRecorder,
)

KEYS = [f'dskd.branch_{i}/accuracy/top1' for i in range(2)]
RANK = """
import sys
import mmdskd
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmdskd.cli import distribute_on_cpu

torch.set_num_threads(1)
cfg = Config.fromfile(sys.argv[1])
cfg.launcher = 'pytorch'
distribute_on_cpu(cfg)
runner = Runner.from_cfg(cfg)
metrics = runner.val()
scalars = runner.message_hub.log_scalars
metrics.update((key[4:], scalars[key].current())
               for key in scalars if 'branch' in key)
torch.save(metrics, f'{sys.argv[2]}/rank{runner.rank}.pth')
"""


@HOOKS.register_module()
class ForwardHookSpy(Hook):
    """Counts the hooks on the student in iterations of the training."""

    counts = []

    def after_train_iter(self, runner, *args, **kwargs):
        student = runner.model.architecture
        self.counts.append(
            len(student._forward_hooks) + len(student._forward_pre_hooks)
        )


@pytest.fixture
def config(dskd_config):
    dskd_config.model.type = 'mmdskd.FrozenTeacherDistill'
    dskd_config.train_cfg.max_epochs = 1
    dskd_config.custom_hooks.append(dict(type='mmdskd.BranchEvaluationHook'))
    return dskd_config


@pytest.fixture
def build_runner(build_runner):
    """Build a runner whose heads tell the digits apart at random: a few
    iterations teach them nothing, and all would give the same class."""

    def build(cfg):
        runner = build_runner(cfg)
        generator = torch.Generator().manual_seed(0)
        for module in runner.model.modules():
            if isinstance(module, BaseBranchHead) and module.num_classes:
                module.classifier.weight.data.normal_(generator=generator)
        return runner

    return build


def logged(cfg):
    """What the last validation has written to the JSON log."""
    [path] = Path(cfg.work_dir).glob('*/vis_data/scalars.json')
    lines = map(json.loads, path.read_text().splitlines())
    return [line for line in lines if 'accuracy/top1' in line][-1]


@torch.no_grad()
def evaluate(model, dataloader, fp16=False):
    """Compute the accuracies of the branches in another way."""
    model = copy.deepcopy(model).eval()
    connector = model.distiller.connectors['heads']
    recorder = MultiModuleOutputsRecorder(
        ['backbone.layer1', 'backbone.layer2']
    )
    recorder.initialize(model.architecture)
    rights = []
    for batch in dataloader:
        data = model.data_preprocessor(batch)
        with autocast(enabled=fp16):
            with recorder:
                model.architecture(data['inputs'])
            branches = connector(recorder.get_record_data())
        labels = torch.cat([s.gt_label for s in data['data_samples']])
        rights.append(
            torch.stack([b.logits.argmax(1) == labels for b in branches])
        )
    return (100 * torch.cat(rights, 1).double().mean(1)).tolist()


def test_accuracy_of_each_branch_is_logged(config, build_runner, monkeypatch):
    runner = build_runner(config)
    messages = []
    monkeypatch.setattr(
        runner.logger, 'info', lambda message, *args: messages.append(message)
    )
    runner.train()
    expected = evaluate(runner.model, runner.val_dataloader)
    line = logged(config)
    assert [line[key] for key in KEYS] == pytest.approx(expected, abs=1e-4)
    # Else the test would not tell a branch from another.
    assert len({*expected, line['accuracy/top1']}) == 3
    message = [m for m in messages if 'Epoch(val) [1]' in m][-1]
    order = ['accuracy/top1: ', *(f'{key}: ' for key in KEYS)]
    assert [message.index(key) for key in order] == sorted(
        message.index(key) for key in order
    )
    for key, value in zip(KEYS, expected):
        assert f'{key}: {value:.4f}' in message


def test_training_does_not_notice(config, build_runner):
    ForwardHookSpy.counts.clear()
    config.custom_hooks.append(dict(type='ForwardHookSpy'))
    results = []
    for kept in (True, False):
        if not kept:
            del config.custom_hooks[1]
        runner = build_runner(config)
        runner.train()
        scalars = runner.message_hub.log_scalars
        results.append(
            (
                runner.model.state_dict(),
                torch.get_rng_state(),
                scalars['train/loss'].data[0],
                scalars['val/accuracy/top1'].data[0],
            )
        )
        assert any('branch' in key for key in scalars) == kept
        assert ForwardHookSpy.counts == 5 * [0]
        ForwardHookSpy.counts.clear()
        # It holds no feature, and no hook on the student.
        recorder = runner.model.distiller.student_recorders.get_recorder(
            'shallow'
        )
        assert recorder.data_buffer == []
    (ours, rng, losses, top1), (plain, plain_rng, *plain_logs) = results
    assert ours.keys() == plain.keys()
    for name, value in ours.items():
        assert torch.equal(value, plain[name]), name
    assert torch.equal(rng, plain_rng)
    assert losses.tolist() == plain_logs[0].tolist()
    assert top1.tolist() == plain_logs[1].tolist()


def test_metrics_of_the_validation_are_the_students(config, build_runner):
    runner = build_runner(config)
    assert set(runner.val()) == {'accuracy/top1'}


@pytest.mark.parametrize('update_buffers', [False, True])
def test_averaged_heads(config, build_runner, update_buffers):
    config.custom_hooks.append(
        dict(type='EMAHook', momentum=0.3, update_buffers=update_buffers)
    )
    runner = build_runner(config)
    runner.train()
    hook = next(hook for hook in runner.hooks if isinstance(hook, EMAHook))
    plain = evaluate(runner.model, runner.val_dataloader)
    hook.before_val_epoch(runner)
    averaged = evaluate(runner.model, runner.val_dataloader)
    assert averaged != plain
    line = logged(config)
    assert [line[key] for key in KEYS] == pytest.approx(averaged, abs=1e-4)


def test_heads_run_in_the_precision_of_the_student(
    config, build_runner, monkeypatch
):
    config.val_cfg.fp16 = True
    types = []
    forward = DSKDConnector.forward_train

    def spy(self, feature):
        branches = forward(self, feature)
        if not self.training:
            types.extend(branch.logits.dtype for branch in branches)
        return branches

    monkeypatch.setattr(DSKDConnector, 'forward_train', spy)
    runner = build_runner(config)
    runner.train()
    assert types == 3 * 2 * [torch.bfloat16]  # batches, branches
    expected = evaluate(runner.model, runner.val_dataloader, fp16=True)
    line = logged(config)
    assert [line[key] for key in KEYS] == pytest.approx(expected, abs=1e-4)


def test_losses_that_share_a_recorder(config, build_runner):
    """Each is told by its name."""
    distiller = config.model.distiller
    distiller.connectors.others = distiller.connectors.heads
    distiller.distill_losses.loss_other = distiller.distill_losses.loss_dskd
    distiller.loss_forward_mappings.loss_other = copy.deepcopy(
        distiller.loss_forward_mappings.loss_dskd
    )
    distiller.loss_forward_mappings.loss_other.branches.connector = 'others'
    config.custom_hooks[0].loss = None
    runner = build_runner(config)
    runner.train()
    line = logged(config)
    assert sorted(key for key in line if 'branch' in key) == [
        *KEYS,
        *(key.replace('dskd', 'other') for key in KEYS),
    ]
    first = evaluate(runner.model, runner.val_dataloader)
    connectors = runner.model.distiller.connectors
    connectors['heads'] = connectors['others']
    other = evaluate(runner.model, runner.val_dataloader)
    assert first != other
    for key, value in zip(KEYS, first):
        assert line[key] == pytest.approx(value, abs=1e-4)
    for key, value in zip(KEYS, other):
        assert line[key.replace('dskd', 'other')] == pytest.approx(
            value, abs=1e-4
        )


def test_loop_that_evaluates_the_teacher_too(config, build_runner):
    """It calls before_val_epoch again, and runs the teacher in between."""
    config.val_cfg.type = 'mmrazor.SingleTeacherDistillValLoop'
    runner = build_runner(config)
    runner.train()
    line = logged(config)
    assert 'teacher.accuracy/top1' in line
    assert [line[key] for key in KEYS] == pytest.approx(
        evaluate(runner.model, runner.val_dataloader), abs=1e-4
    )


@pytest.mark.slow
def test_padded_samples_count_once_on_two_ranks(
    config, build_runner, run_two_ranks
):
    """Of 51 images each rank sees 26, one of them twice."""
    config.val_dataloader.dataset.indices = 51
    build_runner(config).train()
    alone = logged(config)
    assert any(
        round(alone[key] * 51 / 100) % 51 for key in KEYS
    )  # not 0, nor all
    config.load_from = f'{config.work_dir}/epoch_1.pth'
    for metrics in run_two_ranks(config, RANK):
        for key in ('accuracy/top1', *KEYS):
            assert metrics[key] == pytest.approx(alone[key], abs=1e-4)


def test_heads_that_do_not_classify(config, build_runner):
    distiller = config.model.distiller
    distiller.connectors['heads'].num_classes = None
    distiller.distill_losses.loss_dskd.logit_loss = None
    del config.custom_hooks[0]
    with pytest.raises(
        ValueError, match="connector 'heads' of loss_dskd has no class"
    ):
        build_runner(config).train()


def test_model_without_branches(kd_config, build_runner):
    kd_config.custom_hooks = [dict(type='mmdskd.BranchEvaluationHook')]
    with pytest.raises(
        KeyError,
        match='has no mmdskd.DSKDLoss in its '
        'distill_losses, so it has no branches',
    ):
        build_runner(kd_config).train()
