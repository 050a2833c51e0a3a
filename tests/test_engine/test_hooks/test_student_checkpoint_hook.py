import copy
import errno
import os

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import CheckpointHook, Hook
from mmengine.registry import HOOKS, METRICS, init_default_scope
from mmengine.runner import load_checkpoint
from mmrazor.registry import MODELS

from mmdskd.engine.hooks import StudentCheckpointHook
from mmdskd.engine.hooks import student_checkpoint_hook as module
from mmdskd.utils import load_checkpoint_file


@METRICS.register_module()
class ScriptedMetric(BaseMetric):
    """Scores by script, so that a test says which epoch is the best."""

    def __init__(self, script):
        super().__init__()
        self.script = list(script)

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        return self.script.pop(0)


@HOOKS.register_module()
class ChangeWeightsHook(Hook):
    """Changes the model before validation, as PreciseBNHook does."""

    def before_val_epoch(self, runner):
        runner.model.architecture.head.fc.bias.data += 1


def saved(cfg):
    """Names of all files in work_dir itself, but for logs."""
    return {
        name
        for name in os.listdir(cfg.work_dir)
        if os.path.isfile(os.path.join(cfg.work_dir, name))
        and (name == 'student_config.py' or not name.endswith('.py'))
        and name != 'last_checkpoint'
    }


def with_students(*names):
    return {
        'student_config.py',
        *(f'{name}.pth' for name in names),
        *(f'{name}_student.pth' for name in names),
    }


def assert_pairs(cfg):
    """Each student is that of the checkpoint beside it."""
    for name in saved(cfg) - {'student_config.py'}:
        if name.endswith('_student.pth'):
            continue
        path = os.path.join(cfg.work_dir, name)
        whole = load_checkpoint_file(path)
        student = torch.load(
            path.replace('.pth', '_student.pth'), weights_only=True
        )
        assert set(student) == {'meta', 'state_dict'}
        assert student['meta']['iter'] == whole['meta']['iter']
        expected = {
            key[len('architecture.') :]: value
            for key, value in whole['state_dict'].items()
            if key.startswith('architecture.')
        }
        assert list(student['state_dict']) == list(expected)
        for key, value in expected.items():
            assert torch.equal(student['state_dict'][key], value), key


@pytest.mark.parametrize('ema', [False, True])
def test_student_is_the_one_in_the_algorithm(kd_config, build_runner, ema):
    cfg = kd_config
    if ema:
        cfg.custom_hooks.append(dict(type='EMAHook', momentum=0.1))
    runner = build_runner(cfg)
    runner.train()
    logged = runner.message_hub.get_scalar('val/accuracy/top1').current()
    assert saved(cfg) == with_students('epoch_1', 'epoch_2', 'epoch_3')
    assert_pairs(cfg)

    path = os.path.join(cfg.work_dir, 'epoch_3_student.pth')
    weights = torch.load(path, weights_only=True)['state_dict']
    raw = runner.model.architecture.state_dict()
    same = all(torch.equal(raw[key], weights[key]) for key in raw)
    assert same != ema

    # It is a plain network of MMPretrain.
    student_cfg = Config.fromfile(
        os.path.join(cfg.work_dir, 'student_config.py')
    )
    from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS

    init_default_scope('mmpretrain')
    student = MMPRETRAIN_MODELS.build(copy.deepcopy(student_cfg.model))
    plain = MMPRETRAIN_MODELS.build(copy.deepcopy(cfg.model.architecture))
    student.load_state_dict(weights, strict=True)
    assert sum(p.numel() for p in student.parameters()) == sum(
        p.numel() for p in plain.parameters()
    )

    # Its logits are those of the student in the algorithm, bit for bit.
    algorithm = MODELS.build(copy.deepcopy(cfg.model))
    load_checkpoint(
        algorithm,
        os.path.join(cfg.work_dir, 'epoch_3.pth'),
        map_location='cpu',
        strict=True,
    )
    algorithm.eval()
    student.eval()
    batch = next(iter(runner.val_dataloader))
    logits = []
    for model in (algorithm, student, plain.eval()):
        data = model.data_preprocessor(copy.deepcopy(batch))
        with torch.no_grad():
            logits.append(model(**data, mode='tensor'))
    assert torch.equal(logits[0], logits[1])
    # The normalisation is the algorithm's alone.
    plain.load_state_dict(weights)
    data = plain.data_preprocessor(copy.deepcopy(batch))
    with torch.no_grad():
        assert not torch.equal(logits[0], plain(**data, mode='tensor'))

    # Config and weights give the logged accuracy.
    student_cfg.work_dir = os.path.join(cfg.work_dir, 'test')
    student_cfg.load_from = path
    assert build_runner(student_cfg).test() == {'accuracy/top1': logged}


def test_student_can_be_trained_further(kd_config, build_runner):
    cfg = kd_config
    build_runner(cfg).train()
    student_cfg = Config.fromfile(
        os.path.join(cfg.work_dir, 'student_config.py')
    )
    student_cfg.work_dir = os.path.join(cfg.work_dir, 'further')
    student_cfg.load_from = os.path.join(cfg.work_dir, 'epoch_3_student.pth')
    student_cfg.train_cfg.max_epochs = 1
    build_runner(student_cfg).train()
    # Its checkpoints are plain, so none of ours is beside them.
    assert saved(student_cfg) == {'student_config.py', 'epoch_1.pth'}


def test_deleted_with_the_checkpoint(kd_config, build_runner):
    cfg = kd_config
    cfg.default_hooks.checkpoint.max_keep_ckpts = 2
    os.makedirs(cfg.work_dir)
    for name in ('epoch_0_student.pth', 'mine_student.pth'):
        open(os.path.join(cfg.work_dir, name), 'w').close()
    build_runner(cfg).train()
    assert saved(cfg) - with_students('epoch_2', 'epoch_3') == {
        'epoch_0_student.pth',
        'mine_student.pth',
    }


def test_superseded_best(kd_config, build_runner):
    cfg = kd_config
    cfg.val_evaluator = dict(
        type='mmengine.ScriptedMetric',
        script=[dict(a=1.0, b=2.0), dict(a=3.0, b=1.0), dict(a=2.0, b=1.0)],
    )
    cfg.default_hooks.checkpoint.update(
        save_best=['a', 'b'], rule='greater', max_keep_ckpts=1
    )
    cfg.custom_hooks.append(dict(type='mmengine.ChangeWeightsHook'))
    runner = build_runner(cfg)
    runner.train()
    assert saved(cfg) == with_students(
        'epoch_3', 'best_a_epoch_2', 'best_b_epoch_1'
    )
    assert_pairs(cfg)


def test_follows_a_checkpoint_that_is_saved_again(kd_config, build_runner):
    # With a new best, CheckpointHook saves epoch_N.pth a second time.
    cfg = kd_config
    cfg.val_evaluator = dict(
        type='mmengine.ScriptedMetric', script=[dict(a=1.0), dict(a=2.0)]
    )
    cfg.train_cfg.max_epochs = 2
    cfg.default_hooks.checkpoint.update(save_best='a', rule='greater')
    cfg.custom_hooks.append(dict(type='mmengine.ChangeWeightsHook'))
    build_runner(cfg).train()
    assert saved(cfg) == with_students('epoch_1', 'epoch_2', 'best_a_epoch_2')
    assert_pairs(cfg)


def test_by_iteration(kd_config, build_runner, monkeypatch):
    cfg = kd_config
    cfg.train_cfg = dict(by_epoch=False, max_iters=9, val_interval=4)
    cfg.val_evaluator = dict(
        type='mmengine.ScriptedMetric',
        script=[dict(a=1.0), dict(a=2.0), dict(a=0.0)],
    )
    cfg.default_hooks.checkpoint.update(
        by_epoch=False,
        interval=4,
        max_keep_ckpts=2,
        save_best='a',
        rule='greater',
    )
    updates = []
    update = StudentCheckpointHook._update
    monkeypatch.setattr(
        StudentCheckpointHook,
        '_update',
        lambda self, runner, **kwargs: (
            updates.append(runner.iter),
            update(self, runner, **kwargs),
        ),
    )
    build_runner(cfg).train()
    assert saved(cfg) == with_students('iter_8', 'iter_9', 'best_a_iter_8')
    assert_pairs(cfg)
    # Before training, at iterations 4, 8 and 9, and after two validations:
    # an iteration that saves nothing costs nothing.
    assert updates == [0, 3, 4, 7, 8, 8]


def test_resume(kd_config, build_runner):
    cfg = kd_config
    cfg.default_hooks.checkpoint.update(
        save_best='a', rule='greater', max_keep_ckpts=3
    )
    cfg.val_evaluator = dict(
        type='mmengine.ScriptedMetric',
        script=[dict(a=1.0), dict(a=0.0), dict(a=0.0)],
    )
    build_runner(cfg).train()
    assert saved(cfg) == with_students(
        'epoch_1', 'epoch_2', 'epoch_3', 'best_a_epoch_1'
    )
    # As after a kill between the checkpoint and its student.
    os.remove(os.path.join(cfg.work_dir, 'epoch_3_student.pth'))

    # CheckpointHook itself deletes two before the training goes on.
    cfg.default_hooks.checkpoint.max_keep_ckpts = 1
    cfg.resume = True
    build_runner(cfg).train()
    assert saved(cfg) == with_students('epoch_3', 'best_a_epoch_1')
    assert_pairs(cfg)

    cfg.train_cfg.max_epochs = 4
    cfg.val_evaluator.script = [dict(a=2.0)]
    build_runner(cfg).train()
    assert saved(cfg) == with_students('epoch_4', 'best_a_epoch_4')
    assert_pairs(cfg)


def test_resume_after_a_kill_before_the_deletion(
    kd_config, build_runner, monkeypatch
):
    cfg = kd_config
    cfg.default_hooks.checkpoint.max_keep_ckpts = 1
    cfg.train_cfg.max_epochs = 2

    def killed(self, runner):
        if runner.epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(StudentCheckpointHook, 'after_train_epoch', killed)
        patch.setattr(
            StudentCheckpointHook,
            'before_train_epoch',
            StudentCheckpointHook._update_if_saved,
            raising=False,
        )
        with pytest.raises(KeyboardInterrupt):
            build_runner(cfg).train()
    assert 'epoch_1_student.pth' in saved(cfg)
    cfg.resume = True
    build_runner(cfg).train()
    assert saved(cfg) == with_students('epoch_2')


@pytest.mark.parametrize('when', ['config', 'student'])
def test_failed_export_does_not_stop_the_training(
    kd_config, build_runner, monkeypatch, when, capfd
):
    cfg = kd_config
    os.makedirs(cfg.work_dir)
    # From an earlier run: it would be taken for that of the new epoch_1.pth.
    stale = os.path.join(cfg.work_dir, 'epoch_1_student.pth')
    open(stale, 'w').close()
    name = dict(
        config='save_config_atomically', student='save_checkpoint_atomically'
    )[when]
    save = getattr(module, name)

    def full_disk(content, path):
        if not os.path.exists(os.path.join(cfg.work_dir, 'epoch_2.pth')):
            raise OSError(errno.ENOSPC, 'No space left on device', path)
        save(content, path)

    monkeypatch.setattr(module, name, full_disk)
    build_runner(cfg).train()
    assert saved(cfg) == with_students('epoch_1', 'epoch_2', 'epoch_3') - {
        'epoch_1_student.pth'
    }
    log = ''.join(capfd.readouterr())
    assert log.count('No space left on device') == 1
    assert 'epoch_1.pth was not saved' in log


def test_failed_export_is_made_up_for(kd_config, build_runner, monkeypatch):
    cfg = kd_config
    cfg.default_hooks.checkpoint.max_keep_ckpts = 5
    extract = module.extract_student
    calls = []

    def fail_once(*args):
        calls.append(args)
        if len(calls) == 1:
            raise RuntimeError
        return extract(*args)

    monkeypatch.setattr(module, 'extract_student', fail_once)
    build_runner(cfg).train()
    assert saved(cfg) == with_students('epoch_1', 'epoch_2', 'epoch_3')
    assert_pairs(cfg)


def test_runs_after_checkpoint_hook(kd_config, build_runner):
    runner = build_runner(kd_config)
    kinds = [type(hook) for hook in runner.hooks]
    assert kinds.index(StudentCheckpointHook) > kinds.index(CheckpointHook)
