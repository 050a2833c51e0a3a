"""All ranks run the teacher alike: rank 0 decides."""

import pytest

RANK = """
import sys
import mmdskd
import torch
from mmengine.config import Config
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS
from torch.nn import BatchNorm2d
from mmdskd.models.algorithms import teacher_forward

torch.set_num_threads(1)
torch.distributed.init_process_group('gloo')
rank = torch.distributed.get_rank()
cfg = Config.fromfile(sys.argv[1])
images = torch.rand(2, 1, 16, 16)
samples = [DataSample().set_gt_label(label) for label in (3, 4)]


def fail(*args, **kwargs):
    raise OSError('only here')


def prepare(inexact=None, no_fold=None, no_loss=None, no_compile=None):
    # Each argument names the rank on which it is so.
    algorithm = MODELS.build(cfg.model).train()
    teacher, forward = algorithm.teacher, algorithm.teacher_forward
    teacher_forward.TOLERANCE = -1.0 if rank == inexact else 1e-3
    if rank == no_fold:
        forward._fold_bn = fail
    if rank == no_loss:
        teacher.head.loss = fail
    if no_compile is not None:
        forward.compile_cfg = True
        teacher.compile = fail if rank == no_compile else dict
    error = ''
    try:
        forward(images, samples)
    except Exception as raised:
        error = f'{type(raised).__name__}: {raised}'
    weight = teacher.backbone.layer3[0].conv1.weight
    return dict(
        error=error,
        mode=forward.mode,
        inplace=teacher.backbone.relu.inplace,
        folded=not any(isinstance(m, BatchNorm2d) for m in teacher.modules()),
        channels_last=not weight.is_contiguous(),
    )


torch.save(
    dict(
        inexact_on_1=prepare(inexact=1),
        inexact_on_0=prepare(inexact=0),
        no_fold_on_1=prepare(no_fold=1),
        no_loss_on_1=prepare(inexact=0, no_loss=1),
        no_compile_on_1=prepare(no_compile=1),
    ),
    f'{sys.argv[2]}/rank{rank}.pth',
)
# Else its threads may abort the process at its end.
torch.distributed.destroy_process_group()
"""


@pytest.fixture
def ranks(dskd_config, run_two_ranks):
    """What each of two ranks makes of its teacher."""
    dskd_config.model.update(
        type='mmdskd.FrozenTeacherDistill',
        teacher_fold_bn=True,
        teacher_channels_last=True,
    )
    return run_two_ranks(dskd_config, RANK)


def test_all_ranks_run_the_teacher_alike(ranks):
    fast = dict(
        error='', mode='tensor', inplace=True, folded=True, channels_last=True
    )
    slow = dict(
        error='', mode='loss', inplace=False, folded=False, channels_last=False
    )
    for rank, found in enumerate(ranks):
        # Rank 0 judges whether a speed-up is exact.
        assert found['inexact_on_1'] == fast, rank
        assert found['inexact_on_0'] == slow, rank
        # One that fails on any rank is off on all.
        assert found['no_fold_on_1'] == {**fast, 'folded': False}, rank
        assert found['no_loss_on_1'] == {**slow, 'mode': 'tensor'}, rank
    assert [found['no_compile_on_1']['error'] for found in ranks] == [
        'RuntimeError: teacher_compile fails on another rank',
        'OSError: only here',
    ]
