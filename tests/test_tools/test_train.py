"""tools/train.py: its options, and what it refuses."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmdskd.experiments.run_log import read_run_log
from mmdskd.utils.checkpoint import load_checkpoint_file

TOOLS = Path(__file__).parents[2] / 'tools'


def epochs(work_dir):
    return [line['step'] for line in read_run_log(work_dir).val]


def sessions(work_dir):
    return len(list(Path(work_dir).glob('*/vis_data')))


def test_work_dir_and_cfg_options(run_tool, dump, plain_config, tmp_path):
    work_dir = tmp_path / 'other'
    run_tool(
        'train.py',
        dump(plain_config),
        '--work-dir',
        work_dir,
        '--cfg-options',
        'optim_wrapper.optimizer.lr=0.25',
    )
    assert epochs(work_dir) == [1]
    assert not Path(plain_config.work_dir).exists()
    assert read_run_log(work_dir).train[0]['lr'] == 0.25


def test_default_work_dir_is_the_name_of_the_config(
    run_tool, dump, plain_config, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    plain_config.pop('work_dir')
    config = dump(plain_config)
    run_tool('train.py', config)
    assert (
        tmp_path / 'work_dirs' / Path(config).stem / 'epoch_1.pth'
    ).exists()


def test_resume(run_tool, dump, plain_config, monkeypatch):
    """In three ways, an epoch by each, on from the end of the one before."""
    run_tool('train.py', dump(plain_config))
    monkeypatch.chdir(plain_config.work_dir)
    iterations = load_checkpoint_file('epoch_1.pth')['meta']['iter']
    for epoch, resume in enumerate(([], ['auto'], ['epoch_3.pth']), start=2):
        plain_config.train_cfg.max_epochs = epoch
        run_tool('train.py', dump(plain_config), '--resume', *resume)
        last = load_checkpoint_file(f'epoch_{epoch}.pth')
        assert last['meta']['iter'] == epoch * iterations
    assert epochs('.') == [1, 2, 3, 4]


def test_resume_auto_without_checkpoint_starts(run_tool, dump, plain_config):
    run_tool('train.py', dump(plain_config), '--resume')
    assert epochs(plain_config.work_dir) == [1]


def test_auto_scale_lr(run_tool, dump, plain_config):
    plain_config.auto_scale_lr = dict(base_batch_size=10)
    run_tool('train.py', dump(plain_config), '--auto-scale-lr')
    # Batches of 20 and 0.05 per 10 images
    lr = read_run_log(plain_config.work_dir).train[0]['lr']
    assert lr == pytest.approx(0.1)


def test_missing_config(run_tool):
    with pytest.raises(FileNotFoundError, match="'nowhere.py' is neither"):
        run_tool('train.py', 'nowhere.py')


def test_unwritable_work_dir_is_told_first(
    run_tool, dump, plain_config, tmp_path
):
    # It could not be built either.
    plain_config.model.backbone = dict(type='ResNet', depth=3)
    in_the_way = tmp_path / 'file'
    in_the_way.touch()
    for work_dir in (in_the_way, in_the_way / 'below'):
        with pytest.raises(OSError, match='can be written.*--work-dir'):
            run_tool('train.py', dump(plain_config), '--work-dir', work_dir)
    assert in_the_way.is_file()


@pytest.mark.skipif(
    not hasattr(os, 'geteuid') or os.geteuid() == 0,
    reason='root may write everywhere',
)
def test_work_dir_without_permission(run_tool, dump, plain_config, tmp_path):
    tmp_path.joinpath('closed').mkdir(mode=0o500)
    with pytest.raises(OSError, match='Permission denied'):
        run_tool(
            'train.py', dump(plain_config), '--work-dir', tmp_path / 'closed'
        )


def test_missing_checkpoint_to_resume(run_tool, dump, plain_config):
    with pytest.raises(FileNotFoundError, match="no file 'no.pth'"):
        run_tool('train.py', dump(plain_config), '--resume', 'no.pth')


@pytest.mark.skipif(torch.cuda.is_available(), reason='is about the CPU')
@pytest.mark.parametrize(
    'kind', ['OptimWrapper', 'mmengine.optim.OptimWrapper']
)
def test_amp_on_cpu(run_tool, dump, plain_config, kind):
    plain_config.optim_wrapper.type = kind
    with pytest.raises(RuntimeError, match="offers 'cpu'. Leave out --amp"):
        run_tool('train.py', dump(plain_config), '--amp')


def test_amp_needs_plain_wrapper(run_tool, dump, plain_config):
    plain_config.optim_wrapper.type = 'ApexOptimWrapper'
    with pytest.raises(ValueError, match='"AmpOptimWrapper".*Apex'):
        run_tool('train.py', dump(plain_config), '--amp')


def test_auto_scale_lr_needs_base(run_tool, dump, plain_config):
    with pytest.raises(ValueError, match='base_batch_size=128'):
        run_tool('train.py', dump(plain_config), '--auto-scale-lr')


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason='is about the CPU')
def test_two_processes(dump, dskd_config, tmp_path):
    """Train and test DSKD with gloo, as from a shell."""
    environment = {
        **os.environ,
        'OMP_NUM_THREADS': '1',
        'PATH': f'{Path(sys.executable).parent}:{os.environ["PATH"]}',
    }
    dskd_config.train_cfg.max_epochs = 1
    # A free port, in case that another process uses the usual one
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        environment['PORT'] = str(server.getsockname()[1])
    subprocess.run(
        [str(TOOLS / 'dist_train.sh'), dump(dskd_config), '2'],
        check=True,
        env=environment,
    )
    # 100 images in batches of 20 on two processes
    work_dir = dskd_config.work_dir
    assert read_run_log(work_dir).train[-1]['iter'] == 3
    test_dir = tmp_path / 'test'
    subprocess.run(
        [
            str(TOOLS / 'dist_test.sh'),
            dump(dskd_config),
            f'{work_dir}/epoch_1.pth',
            '2',
            '--work-dir',
            str(test_dir),
        ],
        check=True,
        env=environment,
    )
    assert sessions(test_dir) == 1


def test_kd_that_does_not_fit_is_told_before_training(
    run_tool, dump, kd_config
):
    kd_config.model.distiller.distill_losses.loss_kd.tau = 0
    with pytest.raises(ValueError, match=r'loss_kd\.tau should .* got 0'):
        run_tool('train.py', dump(kd_config))
    assert epochs(kd_config.work_dir) == []


def test_wrong_teacher_is_told_before_training(
    run_tool, dump, kd_config, tmp_path
):
    path = tmp_path / 'teacher.pth'
    kd_config.model.type = 'mmdskd.FrozenTeacherDistill'
    kd_config.model.teacher_ckpt = str(path)
    torch.save({'state_dict': {'head.fc.weight': torch.zeros(7, 32)}}, path)
    with pytest.raises(ValueError, match='teacher_ckpt should hold'):
        run_tool('train.py', dump(kd_config))
    assert epochs(kd_config.work_dir) == []
    path.unlink()
    with pytest.raises(
        FileNotFoundError,
        match='teacher_ckpt should be .* no .*teacher.pth.* Train the',
    ):
        run_tool('train.py', dump(kd_config))


def test_amp_of_a_config_needs_a_device(
    run_tool, dump, plain_config, monkeypatch
):
    monkeypatch.setattr('mmdskd.cli.get_device', lambda: 'cpu')
    plain_config.optim_wrapper.type = 'AmpOptimWrapper'
    with pytest.raises(RuntimeError) as error:
        run_tool('train.py', dump(plain_config))
    assert str(error.value).startswith(
        'optim_wrapper.type="AmpOptimWrapper" should run on one of '
    )
    assert str(error.value).endswith('offers \'cpu\'. Take "OptimWrapper".')
