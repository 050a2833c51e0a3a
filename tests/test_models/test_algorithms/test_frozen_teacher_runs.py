"""Whole runs of the frozen teacher by MMEngine's runner."""

import copy
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import EMAHook
from mmrazor.registry import MODELS
from teacher_helpers import FROZEN, STOCK, make_batch, make_teacher

from mmdskd.models.utils.teacher_weights import digest
from mmdskd.utils import load_checkpoint_file


@pytest.fixture(scope='module')
def make_config(make_dskd_config, tmp_path_factory):
    """Make configs of two epochs of two iterations, all with one teacher."""
    path = str(tmp_path_factory.mktemp('teacher') / 'teacher.pth')

    def make(kind=FROZEN, resume_from=None):
        cfg = make_dskd_config(tmp_path_factory.mktemp('run'))
        cfg.model.type = kind
        cfg.model.teacher_ckpt = path
        cfg.train_cfg.max_epochs = 2
        cfg.train_dataloader.batch_size = 4
        cfg.train_dataloader.dataset.indices = 8
        cfg.val_dataloader.dataset.indices = 20
        cfg.test_dataloader.dataset.indices = 20
        if resume_from is not None:
            cfg.load_from, cfg.resume = resume_from, True
        return cfg

    teacher = make_teacher(make().model.teacher)
    torch.save(dict(state_dict=teacher.state_dict()), path)
    return make


@pytest.fixture(scope='module')
def train(make_config, build_runner):
    """Train, and return the runner with what it has at the end."""

    def run(cfg):
        runner = build_runner(cfg)
        runner.train()
        accuracy = runner.message_hub.get_scalar('val/accuracy/top1')
        return SimpleNamespace(
            runner=runner,
            folder=cfg.work_dir,
            state=copy.deepcopy(runner.model.state_dict()),
            accuracy=accuracy.current(),
        )

    return run


@pytest.fixture(scope='module')
def stock_run(make_config, train):
    return train(make_config(STOCK))


@pytest.fixture(scope='module')
def frozen_run(make_config, train):
    return train(make_config())


def assert_same(state, expected):
    assert list(state) == list(expected)
    for name, value in state.items():
        assert torch.equal(value, expected[name]), name


def student_of(state):
    prefix = 'architecture.'
    return {
        name[len(prefix) :]: value
        for name, value in state.items()
        if name.startswith(prefix)
    }


def test_training_is_that_of_the_stock_algorithm(stock_run, frozen_run):
    """Same seed, same numbers drawn, same student, but for rounding."""
    torch.testing.assert_close(
        student_of(frozen_run.state),
        student_of(stock_run.state),
        rtol=1e-4,
        atol=1e-5,
    )


def test_distilled_student_is_the_next_teacher(make_config, frozen_run):
    cfg = make_config()
    cfg.model.teacher_ckpt = f'{frozen_run.folder}/epoch_2.pth'
    cfg.model.teacher = cfg.model.architecture
    cfg.model.distiller.connectors.heads.out_channels = 16
    algorithm = MODELS.build(cfg.model)
    assert_same(algorithm.teacher.state_dict(), student_of(frozen_run.state))
    algorithm(*make_batch(), mode='loss')


def test_checkpoint_holds_no_teacher_and_resumes(
    make_config, train, frozen_run
):
    path = f'{frozen_run.folder}/epoch_1.pth'
    checkpoint = load_checkpoint_file(path)
    assert not any('teacher.' in name for name in checkpoint['state_dict'])
    assert len(checkpoint['optimizer']['param_groups'][0]['params']) == len(
        list(frozen_run.runner.model.parameters())
    )

    resumed = train(make_config(resume_from=path))
    assert resumed.runner.iter == frozen_run.runner.iter == 4
    assert_same(resumed.state, frozen_run.state)


def test_resume_with_another_teacher_is_refused(
    make_config, build_runner, frozen_run, tmp_path
):
    cfg = make_config(resume_from=f'{frozen_run.folder}/epoch_2.pth')
    checkpoint = load_checkpoint_file(cfg.model.teacher_ckpt)
    checkpoint['state_dict']['head.fc.bias'][3] += 1e-3
    cfg.model.teacher_ckpt = str(tmp_path / 'teacher.pth')
    torch.save(checkpoint, cfg.model.teacher_ckpt)
    cfg.train_cfg.max_epochs = 3
    with pytest.raises(
        ValueError,
        match='should go on with the teacher that it began with, but its '
        'checkpoint is of the teacher with digest [0-9a-f]{12}..., and '
        "teacher_ckpt='.*teacher.pth' has [0-9a-f]{12}",
    ):
        build_runner(cfg).train()
    # The student itself is as good as before.
    assert build_runner(cfg).test() == {'accuracy/top1': frozen_run.accuracy}


def test_resume_without_the_teacher_is_refused(
    make_config, build_runner, frozen_run, tmp_path
):
    cfg = make_config(resume_from=f'{frozen_run.folder}/epoch_2.pth')
    cfg.model.teacher_ckpt = str(tmp_path / 'teacher.pth')
    with pytest.raises(FileNotFoundError, match='no .*teacher.pth'):
        build_runner(cfg)


@pytest.mark.parametrize('update_buffers', [False, True])
def test_averaged_model_leaves_the_teacher_out(
    make_config, train, update_buffers
):
    def run(resume_from=None):
        cfg = make_config(resume_from=resume_from)
        cfg.custom_hooks.append(
            dict(type='EMAHook', momentum=0.1, update_buffers=update_buffers)
        )
        done = train(cfg)
        hook = next(h for h in done.runner.hooks if isinstance(h, EMAHook))
        return done, hook.ema_model

    first, averaged = run()
    model = first.runner.model
    assert averaged.module.teacher is model.teacher
    assert not any('teacher.' in name for name in averaged.state_dict())
    # It changes neither in the training nor by the averaging.
    assert torch.equal(digest(model.teacher), model.teacher_digest)

    _, resumed = run(resume_from=f'{first.folder}/epoch_1.pth')
    assert_same(resumed.state_dict(), averaged.state_dict())


@pytest.mark.parametrize('way', ['init_cfg', 'load_from'])
def test_teacher_of_a_stock_checkpoint_is_taken(
    make_config, build_runner, stock_run, way
):
    """The checkpoints of MMRazor's algorithm hold it."""
    path = f'{stock_run.folder}/epoch_2.pth'
    cfg = make_config()
    cfg.model.teacher_ckpt = None
    if way == 'init_cfg':
        cfg.model.init_cfg = dict(type='Pretrained', checkpoint=path)
    frozen = build_runner(cfg)
    if way == 'init_cfg':
        frozen.model.init_weights()
    else:
        frozen.load_checkpoint(path)
    teacher = stock_run.runner.model.teacher
    assert_same(frozen.model.teacher.state_dict(), teacher.state_dict())
    assert torch.equal(frozen.model.teacher_digest, digest(teacher))
    frozen.model(*make_batch(), mode='loss')
    with pytest.raises(ValueError, match='loaded before its first batch'):
        frozen.load_checkpoint(path)
