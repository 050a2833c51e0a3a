"""Without a runner and a config: docs/library.md, and the examples of all
docstrings."""

import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn
from torch.nn import functional as F

import mmdskd
from mmdskd.datasets import Digits, InMemoryDataset
from mmdskd.models import (
    AugmentingDataPreprocessor,
    Branch,
    DSKDConnector,
    DSKDLoss,
    MultiModuleOutputsRecorder,
    ProportionalStrategy,
)
from mmdskd.models.losses.dskd_loss import DSKDLoss as SAME_LOSS
from mmdskd.registry import MODELS, TASK_UTILS
from mmdskd.utils.config import type_name

PAGE = Path(__file__).resolve().parents[1] / 'docs/library.md'
# Those with examples in docstrings.
MODULES = [
    module.name
    for module in pkgutil.walk_packages(mmdskd.__path__, 'mmdskd.')
    if '>>> ' in inspect.getsource(importlib.import_module(module.name))
]


@pytest.fixture(autouse=True)
def registries(monkeypatch):
    """What examples register is gone after them."""
    for registry in (MODELS, TASK_UTILS):
        registry.import_from_location()
        monkeypatch.setattr(
            registry, '_module_dict', dict(registry.module_dict)
        )


def blocks(section):
    """The Python code of a section of the page."""
    text = PAGE.read_text().split(f'\n## {section}\n')[1].split('\n## ')[0]
    return re.findall(r'```python\n(.*?)```', text, re.DOTALL)


@pytest.fixture(scope='module')
def loop():
    """Run the loop of the page, and return its variables and its output."""
    code, _ = blocks('A plain PyTorch loop')
    assert code.count('\n') < 80
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
        assert allocation.num_updates == 20 * 15
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
    assert type(names['dskd_loss']) is SAME_LOSS
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


def test_config_of_the_page(tmp_path):
    (code,) = blocks('Pure-Python configs')
    path = tmp_path / 'config.py'
    path.write_text(code)
    distiller = Config.fromfile(path).model.distiller
    loss = distiller.distill_losses.loss_dskd
    assert type_name(distiller.connectors.heads.head) == 'ConvHead'
    assert loss.logit_loss == dict(type=loss.logit_loss.type)
    built = DSKDLoss(**{k: v for k, v in loss.items() if k != 'type'})
    assert [
        type(criteria[0]).__module__.split('.')[0]
        + '.'
        + type(criteria[0]).__name__
        for criteria in built.criteria.values()
    ] == ['mmrazor.DISTLoss', 'mmrazor.L2Loss', 'mmpretrain.CrossEntropyLoss']


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
for step in range(3):
    optimizer.zero_grad()
    with shallow:
        last = student(torch.rand(4, 1, 8, 8))
    loss = dskd_loss(heads(shallow.get_record_data()), torch.rand(4, 3),
                     torch.rand(4, 8, 6, 6))
    (loss + last.mean()).backward()
    optimizer.step()
    dskd_loss.collect_losses()
    seen.append(dskd_loss.last_losses)
dskd_loss.update_weights(ProportionalStrategy(), ema_decay=0)
torch.save(dict(seen=seen, loss=dskd_loss.state_dict(),
                student=dict(student.named_parameters()),
                heads=dict(heads.named_parameters())),
           f'{{sys.argv[2]}}/rank{{rank}}.pth')
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
        assert losses.unique().numel() == losses.numel()
        mean = losses.mean(dim=0)
        torch.testing.assert_close(
            first['loss'][f'allocation.{term}.weights'],
            ProportionalStrategy()(mean, mean),
        )


def test_half_precision():
    """Loss and state are float32; the gradients are those of full precision,
    as far as that goes."""
    torch.manual_seed(0)
    student = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3))
    recorder = MultiModuleOutputsRecorder(['0'])
    recorder.initialize(student)
    heads = DSKDConnector(
        in_channels=[4], strides=[1], out_channels=8, num_classes=3
    )
    loss = DSKDLoss(1, dict(type='KLDivergence'), nn.MSELoss())
    images, preds_T = torch.rand(8, 1, 8, 8), torch.rand(8, 3)
    feat_T = torch.rand(8, 8, 6, 6)
    gradients, values = [], []
    for enabled in (False, True):
        with torch.autocast('cpu', torch.bfloat16, enabled=enabled):
            with recorder:
                assert student(images).dtype is (
                    torch.bfloat16 if enabled else torch.float32
                )
            value = loss(heads(recorder.get_record_data()), preds_T, feat_T)
        assert value.dtype is torch.float32
        assert loss.last_losses['feat'].dtype is torch.float32
        student.zero_grad()
        value.backward()
        gradients.append(student[0].weight.grad.clone())
        values.append(value.detach())
    torch.testing.assert_close(*values, rtol=0.02, atol=0)
    similarity = F.cosine_similarity(*(g.flatten() for g in gradients), dim=0)
    assert 0.99 < similarity < 1


@pytest.mark.parametrize('scope', [None, 'mmpretrain', 'mmrazor', 'mmdskd'])
def test_parts_are_found_in_every_scope(scope):
    """What components build by themselves does not depend on the scope."""
    registry = DefaultScope._instance_dict
    before = dict(registry)
    if scope is None:
        registry.clear()
    else:
        DefaultScope.get_instance(f'test_{scope}', scope_name=scope)
    try:
        DSKDConnector(in_channels=[4], strides=[1], out_channels=4)
        loss = DSKDLoss(
            1,
            logit_loss=dict(type='KLDivergence'),
            label_loss=dict(type='mmpretrain.CrossEntropyLoss'),
        )
        AugmentingDataPreprocessor(augments=[dict(type='BatchRandomFlip')])
        InMemoryDataset(
            dict(
                type='mmdskd.Digits',
                indices=2,
                pipeline=[dict(type='mmpretrain.PackInputs')],
            )
        )
    finally:
        registry.clear()
        registry.update(before)
    assert [
        type(criteria[0]).__module__.split('.')[0]
        for criteria in loss.criteria.values()
    ] == ['mmrazor', 'mmpretrain']


def test_bare_names_are_ours_without_a_scope():
    registry = DefaultScope._instance_dict
    before = dict(registry)
    registry.clear()
    try:
        images = InMemoryDataset(
            dict(
                type='Digits',
                indices=2,
                pipeline=[
                    dict(type='Resize', scale=16),
                    dict(type='PackInputs'),
                ],
            )
        )
    finally:
        registry.update(before)
    assert images[0]['inputs'].shape == (1, 16, 16)
    assert isinstance(images.dataset, Digits)


def test_weights_may_be_updated_before_the_backward():
    """The gradient is that of the loss as it was."""
    gradients = []
    for early in (True, False):
        torch.manual_seed(0)
        logits = torch.rand(2, 8, 3, requires_grad=True)
        loss = DSKDLoss(2, dict(type='KLDivergence'))
        value = loss([Branch(logits=row) for row in logits], torch.rand(8, 3))
        if early:
            loss.collect_losses()
            loss.update_weights(ProportionalStrategy())
            loss.ramp.fill_(0.0)
            assert not torch.equal(
                loss.allocation['logit'].weights, torch.ones(2)
            )
        value.backward()
        gradients.append(logits.grad)
    assert gradients[0].abs().sum() > 0
    assert torch.equal(*gradients)


@pytest.mark.parametrize('name', MODULES)
def test_docstring_examples(name):
    """They run as they stand: nothing of the module is there by itself."""
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    output = []
    for test in doctest.DocTestFinder(exclude_empty=True).find(
        module, name, globs={}
    ):
        runner.run(test, out=output.append)
    assert runner.tries > 0
    assert runner.failures == 0, ''.join(output)
