"""Students whose classes change their state dicts."""

import os

import pytest
import torch
from hooked_networks import (
    CLASSES,
    CountingClassifier,
    ForgetfulClassifier,
    SecretClassifier,
)
from mmengine.config import Config, config
from mmengine.registry import MODELS

from mmdskd.experiments.fork_server import find_layout_module
from mmdskd.utils.state_dict import find_tensors

WHOLE = [kind for kind in CLASSES if kind is not SecretClassifier]


def use(cfg, kind):
    cfg.model.architecture = dict(type=f'mmengine.{kind.__name__}')
    distiller = cfg.model.distiller
    distiller.student_recorders.logits.source = 'fc'
    cfg.train_cfg.max_epochs = 2
    return cfg


def build_plain(cfg, name):
    student_cfg = Config.fromfile(
        os.path.join(cfg.work_dir, 'student_config.py')
    )
    student_cfg.work_dir = os.path.join(cfg.work_dir, 'test')
    student_cfg.load_from = os.path.join(cfg.work_dir, name)
    return student_cfg


@pytest.mark.parametrize('ema', [False, True])
@pytest.mark.parametrize('kind', WHOLE)
def test_exported_student_is_the_one_in_the_log(
    kd_config, build_runner, kind, ema
):
    cfg = use(kd_config, kind)
    if ema:
        cfg.custom_hooks.append(dict(type='EMAHook', momentum=0.1))
    runner = build_runner(cfg)
    runner.train()
    logged = runner.message_hub.get_scalar('val/accuracy/top1').current()
    student_cfg = build_plain(cfg, 'epoch_2_student.pth')
    tested = build_runner(student_cfg)
    assert tested.test() == {'accuracy/top1': logged}
    if not ema:
        trained = find_tensors(runner.model.architecture)
        for name, tensor in find_tensors(tested.model).items():
            assert torch.equal(tensor, trained[name]), name


@pytest.mark.parametrize('kind', CLASSES)
def test_resume_loads_the_student(kd_config, build_runner, kind):
    cfg = use(kd_config, kind)
    cfg.custom_hooks = []
    first = build_runner(cfg)
    first.train()
    cfg.resume = True
    second = build_runner(cfg)
    second.train()
    ours = find_tensors(second.model)
    for name, tensor in find_tensors(first.model).items():
        assert torch.equal(ours[name], tensor), name


@pytest.mark.parametrize(
    'kind, found',
    [
        (SecretClassifier, 'for 1 of its 9 tensors, such as fc.bias'),
        (CountingClassifier, 'its logits differ by'),
        (ForgetfulClassifier, 'its logits differ by'),
    ],
)
def test_another_student_is_never_written(
    kd_config, build_runner, kind, found, capfd
):
    cfg = use(kd_config, kind)
    os.makedirs(cfg.work_dir)
    # From an earlier run: it would be taken for that of the new epoch_1.pth.
    open(os.path.join(cfg.work_dir, 'epoch_1_student.pth'), 'w').close()
    build_runner(cfg).train()
    names = os.listdir(cfg.work_dir)
    assert 'epoch_2.pth' in names
    assert not [name for name in names if name.endswith('_student.pth')]
    log = ''.join(capfd.readouterr())
    assert log.count(found) == 2
    assert 'Let the class of the student save and load all' in log


def test_another_config_is_noticed(
    kd_config, build_runner, monkeypatch, capfd
):
    """Such as images that the plain student does not normalise."""
    from mmdskd.engine.hooks import student_checkpoint_hook as module

    make = module.make_student_config

    def forget(cfg):
        student = make(cfg)
        del student.model['data_preprocessor']
        return student

    monkeypatch.setattr(module, 'make_student_config', forget)
    build_runner(kd_config).train()
    names = os.listdir(kd_config.work_dir)
    assert not [name for name in names if name.endswith('_student.pth')]
    assert 'its logits differ by' in ''.join(capfd.readouterr())


def test_without_a_config(kd_config, build_runner, monkeypatch, capfd):
    """A class that changes names can't be exported then, others can."""
    from mmdskd.engine.hooks import StudentCheckpointHook

    before_train = StudentCheckpointHook.before_train

    def forget(self, runner):
        before_train(self, runner)
        self._cfg = None

    monkeypatch.setattr(StudentCheckpointHook, 'before_train', forget)
    for kind, written in (('TinyClassifier', 2), ('RenamingClassifier', 0)):
        cfg = use(kd_config, MODELS.get(kind))
        cfg.work_dir = os.path.join(kd_config.work_dir, kind)
        build_runner(cfg).train()
        names = os.listdir(cfg.work_dir)
        students = [name for name in names if name.endswith('_student.pth')]
        assert len(students) == written
    assert 'no config to build it from' in ''.join(capfd.readouterr())


def test_export_draws_no_random_numbers(kd_config, build_runner):
    cfg = kd_config
    for dataloader in (cfg.train_dataloader, cfg.val_dataloader):
        dataloader.dataset.pipeline.insert(
            1, dict(type='mmpretrain.RandomFlip', prob=0.5)
        )
    weights = []
    for hooks in (cfg.custom_hooks, []):
        cfg.custom_hooks = hooks
        runner = build_runner(cfg)
        runner.train()
        weights.append(find_tensors(runner.model))
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name]), name


def test_interruption_of_the_formatter_ends_the_run(
    kd_config, build_runner, monkeypatch
):
    """MMEngine takes it for wrong syntax."""
    from mmdskd.engine.hooks import student_checkpoint_hook as module

    save = module.save_config_atomically

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    def interrupted(cfg, path):
        with monkeypatch.context() as patch:
            patch.setattr(find_layout_module(config), 'FormatCode', interrupt)
            save(cfg, path)

    monkeypatch.setattr(module, 'save_config_atomically', interrupted)
    with pytest.raises(KeyboardInterrupt):
        build_runner(kd_config).train()
