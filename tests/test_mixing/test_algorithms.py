"""docs/mixing.md: algorithms, and several losses."""

import copy
import inspect
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmrazor.models.algorithms import DataFreeDistillation
from test_mixing.page import PAGE, ROOT, look, scalars, section


def test_every_block_is_tested():
    """Each section that has one is named in a test of this folder."""
    source = ''.join(
        path.read_text() for path in Path(__file__).parent.glob('test_*.py')
    )
    for title, text in re.findall(
        '^## (.*?)\n(.*?)(?=^## |\\Z)', PAGE, re.DOTALL | re.MULTILINE
    ):
        assert ('```python' in text) == (f'section({title!r})' in source)


def test_own_last_layer_as_teacher(start):
    [block] = section('Without a teacher')
    runner = start(block)
    model = runner.model
    assert not any('teacher' in name for name in model.state_dict())
    runner.train()
    assert len(scalars(runner, 'distill.loss_dskd')) == 2
    student = Config.fromfile('work_dirs/block/student_config.py')
    assert student.model.backbone.depth == 8

    # The last layer teaches, and is not taught: with the distillation alone,
    # it gets no gradient.
    batch = model.data_preprocessor(
        next(iter(runner.train_dataloader)), training=True
    )
    model.zero_grad()
    model(**batch, mode='loss')['distill.loss_dskd'].backward()
    backbone = model.student.backbone
    for module, learns in (
        (backbone.layer2, True),
        (backbone.layer3, False),
        (model.student.head, False),
    ):
        for param in module.parameters():
            assert bool(param.grad is not None and param.grad.any()) == learns


def test_evaluation_of_no_teacher_is_refused(start):
    [block] = section('Without a teacher')
    runner = start(
        block + 'custom_hooks.append('
        "dict(type='mmdskd.TeacherEvaluationHook'))"
    )
    with pytest.raises(
        TypeError, match='has a "teacher", but got SelfDistill: remove'
    ):
        runner.train()


def test_several_losses_heads_and_hooks(start):
    [block] = section('Several losses, heads and hooks')
    runner = start(block, epochs=2)
    runner.train()
    losses = runner.model.distiller.distill_losses
    assert set(losses['loss_dskd'].allocation) == {'logit'}
    assert set(losses['loss_feat'].allocation) == {'feat'}
    # The one is balanced by softmax, the other is not.
    weights = losses['loss_dskd'].allocation['logit'].weights
    assert weights.sum().item() == pytest.approx(2)
    assert not torch.equal(weights, torch.ones(2))
    assert torch.equal(
        losses['loss_feat'].allocation['feat'].weights, torch.ones(1)
    )
    for key in ('distill.loss_dskd', 'distill.loss_feat'):
        assert len(scalars(runner, key)) == 4
    for key in ('dskd.weight_logit_1', 'feat.feat_0'):
        assert scalars(runner, key)
    connectors = runner.model.distiller.connectors
    assert set(connectors) == {'heads', 'heads_feat'}
    names = {name for name, _ in connectors.named_parameters()}
    assert look(runner).learning == [names] * 4


@MODELS.register_module()
class TwoTeachers(BaseModel):
    def __init__(self, first, second):
        super().__init__()
        self.first = MODELS.build(first)
        self.second = MODELS.build(second)

    def forward(self, *args, **kwargs):
        self.first(*args, **kwargs)
        return self.second(*args, **kwargs)


@pytest.mark.parametrize(
    'algorithm',
    [
        'mmdskd.FrozenTeacherDistill',
        pytest.param('mmrazor.SingleTeacherDistill', marks=pytest.mark.slow),
    ],
)
def test_two_teachers_in_one_model(start, tmp_path, algorithm):
    """As the page says: a model of one's own may run them."""
    path = ROOT / (
        'configs/dskd/digits/dskd_resnet20_resnet8-thin_1xb64_digits.py'
    )
    distiller = Config.fromfile(path).model.distiller.to_dict()
    teacher = Config.fromfile(path).model.teacher.to_dict()
    other = copy.deepcopy(teacher)
    other['backbone']['depth'] = 8
    weights = MODELS.build(other).state_dict()
    torch.save(weights, tmp_path / 'second.pth')
    other['init_cfg'] = dict(
        type='Pretrained', checkpoint=str(tmp_path / 'second.pth')
    )

    recorders = distiller['teacher_recorders']
    distiller['teacher_recorders'] = {
        f'{name}_{which}': dict(
            recorder, source=f'{which}.{recorder["source"]}'
        )
        for which in ('first', 'second')
        for name, recorder in recorders.items()
    }
    heads = distiller['connectors'].pop('heads')
    loss = distiller['distill_losses'].pop('loss_dskd')
    for part in (
        distiller['distill_losses'],
        distiller['loss_forward_mappings'],
    ):
        part.pop('loss_kd')
    mapping = distiller['loss_forward_mappings'].pop('loss_dskd')
    for which in ('first', 'second'):
        distiller['connectors'][which] = heads
        distiller['distill_losses'][f'loss_{which}'] = loss
        ours = copy.deepcopy(mapping)
        ours['branches']['connector'] = which
        ours['preds_T']['recorder'] = f'logits_{which}'
        ours['feat_T']['recorder'] = f'feat_{which}'
        distiller['loss_forward_mappings'][f'loss_{which}'] = ours
    runner = start(
        f'_base_ = {str(path)!r}',
        **{
            'model.type': algorithm,
            'model.teacher': dict(
                _delete_=True, type='TwoTeachers', first=teacher, second=other
            ),
            'model.distiller': dict(distiller, _delete_=True),
            'custom_hooks.0.loss': None,
        },
    )
    runner.train()
    for name, value in weights.items():
        assert torch.equal(
            runner.model.teacher.second.state_dict()[name], value
        ), name
    ours, theirs = (
        runner.model.distiller.distill_losses[f'loss_{which}']
        for which in ('first', 'second')
    )
    assert not torch.equal(
        ours.last_losses['feat'], theirs.last_losses['feat']
    )
    assert scalars(runner, 'first.weight_feat_1')
    assert scalars(runner, 'second.weight_feat_1')


def test_autoslim_with_heads_on_layers_of_fixed_width(start):
    [block] = section('While the widths vary')
    runner = start(block)
    widths = set()
    backbone = runner.model.architecture.backbone
    for module in (
        backbone.layer1,
        backbone.layer1[0].conv1,
        backbone.layer3[0].conv1,
    ):
        module.register_forward_hook(
            lambda module, args, output: widths.add(
                (type(module).__name__, output.shape[1])
            )
        )
    heads = runner.model.distiller.connectors
    before = {k: value.clone() for k, value in heads.named_parameters()}
    runner.train()
    assert {width for name, width in widths if name == 'ResLayer'} == {4}
    assert len(widths) > 3
    for kind in ('min', 'random0', 'random1'):
        assert len(scalars(runner, f'{kind}_subnet.loss_dskd')) == 2
    for name, value in heads.named_parameters():
        assert not torch.equal(value, before[name]), name


def test_heads_on_layers_of_varying_width_are_refused(start):
    [block] = section('While the widths vary')
    with pytest.raises(
        ValueError,
        match="AutoSlim varies the width of 'backbone.layer2' from step "
        r"to step.*units=\{'backbone.layer2.0.conv2_\(0, 8\)_8': "
        r'dict\(init_args=dict\(candidate_choices=\[1.0\], ',
    ):
        start(block.replace("'backbone.layer2.0.conv2_(0, 8)_8': fixed,", ''))


DMCP = """
model['type'] = 'DMCP'
model['mutator_cfg'] = dict(
    type='DMCPChannelMutator',
    channel_unit_cfg=dict(type='DMCPChannelUnit'),
    parse_cfg=model.pop('mutator')['parse_cfg'],
    pruning_cfg=(0.5, 1, 0.25))
"""


def test_dmcp_is_refused(start):
    [block] = section('While the widths vary')
    with pytest.raises(
        ValueError, match="DMCP varies the width of 'backbone.layer1'"
    ):
        start(block + DMCP)


def test_slimmable_networks_take_no_distiller(start):
    [block] = section('While the widths vary')
    block += (
        "model['type'] = 'SlimmableNetwork'\n"
        "model['mutator']['type'] = 'SlimmableChannelMutator'\n"
    )
    with pytest.raises(
        TypeError, match="unexpected keyword argument 'distiller'"
    ):
        start(block)


def test_data_free_distillation_would_not_train_the_heads():
    """MMRazor's algorithm of several teachers steps two optimizers only."""
    source = inspect.getsource(DataFreeDistillation.train_step)
    assert set(re.findall(r"optim_wrapper\['(.*?)'\]", source)) == {
        'architecture',
        'generator',
    }
