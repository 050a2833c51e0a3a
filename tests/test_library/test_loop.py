"""docs/library.md: without a runner and a config."""

import re

import pytest
import torch
from mmengine.config import Config
from test_library.page import PAGE, blocks
from torch.nn import functional as F

from mmdskd.models import DSKDLoss, ProportionalStrategy


@pytest.fixture(scope='module')
def loop():
    """Run the loop of the page, and return its variables and its output."""
    code, _ = blocks('A plain PyTorch loop')
    assert code.count('\n') < 100
    for epochs in (10, 20):  # half as long
        assert code.count(f', {epochs}, ') == 1
        code = code.replace(f', {epochs}, ', f', {epochs // 2}, ')
    names, lines = {}, []
    names['print'] = lambda line: lines.append(line)
    state = torch.get_rng_state()
    exec(compile(code, str(PAGE), 'exec'), names)
    torch.set_rng_state(state)
    return names, lines


def test_loop_prints_what_it_should(loop):
    _, (accuracy, *weights) = loop
    teacher, student = map(float, re.findall(r'0\.\d+', accuracy))
    assert teacher > 0.85
    assert student > 0.85
    assert [line.split(':')[0] for line in weights] == [
        'weights of logit',
        'weights of feat',
    ]
    for line in weights:
        first, second = map(float, re.findall(r'\d\.\d+', line))
        assert first + second == pytest.approx(2)
        assert abs(first - second) > 0.02


def test_loop_trains_the_branches(loop):
    """The heads tell digits that they have not seen, and their features are
    nearer to the teacher's than a constant is."""
    names, _ = loop
    images, labels = names['images'][898:], names['labels'][898:]
    names['heads'].eval()
    with torch.no_grad(), names['last'], names['shallow']:
        preds_T = names['teacher'](images)
        names['student'](images)
    feat_T = names['last'].get_record_data()
    branches = names['heads'](names['shallow'].get_record_data())
    for branch in branches:
        hits = branch.logits.argmax(dim=1) == labels
        assert hits.float().mean() > 0.6
        # A random projection is worse than no prediction at all.
        constant = feat_T.mean(dim=(0, 2, 3), keepdim=True).expand_as(feat_T)
        assert F.mse_loss(branch.feat, feat_T) < F.mse_loss(constant, feat_T)
    assert preds_T.shape == branches[0].logits.shape


def test_loop_weights_follow_the_losses(loop):
    names, _ = loop
    for allocation in names['dskd_loss'].allocation.values():
        assert allocation.num_updates == 10 * 15
        expected = names['strategy'](allocation.ema, allocation.previous)
        assert torch.equal(allocation.weights, expected)


def test_shapes_are_found(loop):
    _, code = blocks('A plain PyTorch loop')
    names = dict(loop[0])
    exec(code, names)
    assert names['plan'].sources == ['stage1', 'stage2']
    assert (
        names['heads'].state_dict().keys()
        == loop[0]['heads'].state_dict().keys()
    )
    for name, value in names['heads'].state_dict().items():
        assert value.shape == loop[0]['heads'].state_dict()[name].shape, name


def test_heads_are_thrown_away(loop, tmp_path, monkeypatch):
    names, _ = loop
    student = names['student']
    assert any(module._forward_hooks for module in student.modules())
    monkeypatch.chdir(tmp_path)
    (code,) = blocks('Throw the heads away')
    exec(code, dict(names))
    assert not any(module._forward_hooks for module in student.modules())
    plain = names['network'](width=4)
    plain.load_state_dict(torch.load('student.pth', weights_only=True))
    plain.eval()
    images = names['images'][898:]
    assert torch.equal(plain(images), student(images))
    names['shallow'].initialize(student)  # as it was, for other tests


def test_components_of_ones_own(loop):
    """The code on the registries runs, and what it builds works."""
    names = dict(loop[0])
    for code in blocks('By name: the registries'):
        exec(code, names)
    assert type(names['dskd_loss']) is DSKDLoss
    heads = names['heads'].heads
    assert [type(head).__name__ for head in heads] == ['PoolHead'] * 2
    images = names['images'][:4]
    loss = names['dskd_loss']
    with names['shallow'], names['last'], torch.no_grad():
        preds_T = names['teacher'](images)
        names['student'](images)
    branches = names['heads'](names['shallow'].get_record_data())
    loss(branches, preds_T, names['last'].get_record_data())
    loss.collect_losses()
    loss.update_weights(names['Largest']())
    for allocation in loss.allocation.values():
        assert sorted(allocation.weights.tolist()) == [0, 2]


RANK = """
import sys
import mmdskd
import torch
from mmdskd.models import *
from torch import nn
from torch.nn.parallel import DistributedDataParallel

torch.distributed.init_process_group('gloo')
rank = torch.distributed.get_rank()
device = 'cpu'
torch.manual_seed(0)
student = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
shallow = MultiModuleOutputsRecorder(['0', '1'])
heads = DSKDConnector(in_channels=[4, 4], strides=[1, 1], out_channels=8,
                      num_classes=3)
dskd_loss = DSKDLoss(2, dict(type='KLDivergence'), nn.MSELoss())
{setup}
optimizer = torch.optim.SGD(
    [*student.parameters(), *heads.parameters()], lr=0.1)
torch.manual_seed(rank)
seen = []
for step in range(4):
    dskd_loss.train(step < 3 or rank == 0)  # at last it counts on one only
    optimizer.zero_grad()
    with shallow:
        last = student(torch.rand(4, 1, 8, 8))
    loss = dskd_loss(heads(shallow.get_record_data()), torch.rand(4, 3),
                     torch.rand(4, 8, 6, 6))
    (loss + last.mean()).backward()
    optimizer.step()
    dskd_loss.collect_losses()
    if dskd_loss.training:
        seen.append(dskd_loss.last_losses)
dskd_loss.update_weights(ProportionalStrategy(), ema_decay=0)
torch.save(dict(seen=seen, loss=dskd_loss.state_dict(),
                student=dict(student.named_parameters()),
                heads=dict(heads.named_parameters())),
           f'{{sys.argv[2]}}/rank{{rank}}.pth')
# Else its threads may abort the process at its end.
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes(run_two_ranks):
    """By the code of the page, they stay alike, and share the weights."""
    (setup,) = blocks('Several processes, half precision, checkpoints')
    first, second = run_two_ranks(Config(), RANK.format(setup=setup))
    for part in ('loss', 'student', 'heads'):
        for name, value in first[part].items():
            if part != 'heads' or 'running' not in name:
                assert torch.equal(value, second[part][name]), name
    for term in ('logit', 'feat'):
        losses = torch.stack(
            [
                losses[term]
                for rank in (first, second)
                for losses in rank['seen']
            ]
        )
        assert losses.unique().numel() == losses.numel() == 2 * (4 + 3)
        mean = losses.mean(dim=0)
        torch.testing.assert_close(
            first['loss'][f'allocation.{term}.weights'],
            ProportionalStrategy()(mean, mean),
        )
