"""tools/dist_train.sh on several nodes, and with a rank that dies."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from mmdskd.utils.checkpoint import load_checkpoint_file

TOOLS = Path(__file__).parents[2] / 'tools'
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(torch.cuda.is_available(), reason='is about the CPU'),
]

DYING = """
import os
import signal
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class DyingRank(Hook):
    def after_train_iter(self, runner, *args, **kwargs):
        folder = os.path.dirname(__file__)
        with open(f'{folder}/rank{get_rank()}.pid', 'w') as file:
            file.write(str(os.getpid()))
        if get_rank() == 1 and runner.iter == 2:
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def start(tmp_path):
    """Start the script; end what is left of it when the test is over."""
    processes = []

    def start(config, number, **environment):
        process = subprocess.Popen(
            [str(TOOLS / 'dist_train.sh'), config, str(number)],
            env={
                **os.environ,
                'OMP_NUM_THREADS': '1',
                'PATH': f'{Path(sys.executable).parent}:{os.environ["PATH"]}',
                'PYTHONPATH': str(tmp_path),
                **environment,
            },
            start_new_session=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, 9)
            process.wait()


def free_port():
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        return str(server.getsockname()[1])


@pytest.mark.timeout(600)
def test_two_nodes_train_as_one(start, dump, dskd_config, tmp_path):
    dskd_config.train_cfg.max_epochs = 1
    states = []
    for nodes in (1, 2):
        dskd_config.work_dir = str(tmp_path / f'nodes{nodes}')
        port = free_port()
        processes = [
            start(
                dump(dskd_config),
                2 // nodes,
                PORT=port,
                NNODES=str(nodes),
                NODE_RANK=str(rank),
            )
            for rank in range(nodes)
        ]
        for process in processes:
            assert process.wait(timeout=300) == 0
        checkpoint = load_checkpoint_file(
            f'{dskd_config.work_dir}/epoch_1.pth'
        )
        # 100 images in batches of 20 on two processes
        assert checkpoint['meta']['iter'] == 3
        states.append(checkpoint['state_dict'])
    one, two = states
    assert list(one) == list(two)
    for name, value in one.items():
        torch.testing.assert_close(two[name], value)


@pytest.mark.timeout(600)
def test_rank_that_dies_ends_the_others(start, dump, dskd_config, tmp_path):
    (tmp_path / 'dying.py').write_text(DYING)
    dskd_config.custom_imports.imports.append('dying')
    dskd_config.custom_hooks.append(dict(type='DyingRank'))
    dskd_config.train_cfg.max_epochs = 1000
    process = start(dump(dskd_config), 2, PORT=free_port())
    # torchrun asks once a second, and waits 30 s for what it has ended.
    assert process.wait(timeout=300) != 0
    for rank in range(2):
        pid = (tmp_path / f'rank{rank}.pid').read_text()
        assert has_ended(pid), rank


def has_ended(pid):
    for _ in range(100):
        if not Path('/proc', pid).exists():
            return True
        time.sleep(0.1)
    return False
