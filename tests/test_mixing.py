"""Every combination of docs/mixing.md, as it stands there."""

import copy
import inspect
import re
import shutil
import uuid
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import HOOKS, MODELS
from mmengine.runner import Runner
from mmpretrain.models.utils import RandomBatchAugment
from mmrazor.models.algorithms import DataFreeDistillation

from mmdskd.engine.augmentation_check import check_augmentation
from mmdskd.engine.distillation_check import check_distillation
from mmdskd.utils import resolve_auto

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / 'docs/mixing.md').read_text()
PRUNED = 'work_dirs/prune-l1_resnet20_1xb64_digits'


def section(title):
    """The Python blocks of a section of the page."""
    _, found, rest = PAGE.partition(f'## {title}\n')
    assert found, title
    return re.findall('```python\n(.*?)```', rest.split('\n## ')[0], re.DOTALL)


@HOOKS.register_module()
class Look(Hook):
    """Notes gradients, labels and parameters of each iteration."""

    priority = 'LOWEST'

    def before_train(self, runner):
        self.labels = []
        self.learning = []  # per iteration, the parameters of the heads
        runner.model.architecture.head.loss_module.register_forward_pre_hook(
            lambda module, args: self.labels.append(args[1])
        )
        for (
            name,
            param,
        ) in runner.model.distiller.connectors.named_parameters():
            param.register_hook(
                lambda grad, name=name: (
                    self.learning[-1].add(name) if grad.any() else None
                )
            )

    def before_train_iter(self, runner, *args, **kwargs):
        self.learning.append(set())


def shorten(cfg, epochs=1, batch_size=64, **dataset):
    """Two iterations an epoch."""
    for name in ('train', 'val'):
        loader = cfg[f'{name}_dataloader']
        loader.dataset.dataset.update(indices=2 * batch_size, **dataset)
        loader.batch_size = batch_size
    if 'teacher' in cfg.model:
        cfg.model.teacher_ckpt = None  # trained by another config
    cfg.train_cfg.max_epochs = epochs
    cfg.custom_hooks = cfg.get('custom_hooks', []) + [dict(type='Look')]
    return cfg


@pytest.fixture
def start(tmp_path, monkeypatch, build_runner):
    """Build the runner of a block, as ``tools/train.py`` does."""
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    monkeypatch.chdir(tmp_path)

    def run(block, epochs=1, **changes) -> Runner:
        (tmp_path / 'block.py').write_text(block)
        cfg = shorten(Config.fromfile('block.py'), epochs)
        cfg.merge_from_dict(changes)
        cfg.work_dir = 'work_dirs/block'
        runner = build_runner(cfg)
        check_distillation(runner.model)
        check_augmentation(runner)
        return runner

    return run


def look(runner):
    return next(hook for hook in runner.hooks if isinstance(hook, Look))


def scalars(runner, key):
    history, _ = runner.message_hub.get_scalar(f'train/{key}').data
    return history.tolist()


def test_every_block_is_tested():
    """Each section that has one is named in a test below."""
    source = Path(__file__).read_text()
    for title, text in re.findall(
        '^## (.*?)\n(.*?)(?=^## |\\Z)', PAGE, re.DOTALL | re.MULTILINE
    ):
        assert ('```python' in text) == (f'section({title!r})' in source)


# ---------------------------------------------------------------------------
# After pruning
# ---------------------------------------------------------------------------
def prune(folder, name, epochs, **changes):
    """Run a pruning config on few images, from random weights."""
    cfg = Config.fromfile(ROOT / f'configs/mix/digits/{name}.py')
    shorten(cfg, epochs)
    cfg.merge_from_dict(changes)
    cfg.custom_hooks = []
    del cfg.model.architecture.init_cfg
    cfg.train_cfg.val_interval = epochs
    cfg.work_dir = str(folder / 'work_dirs' / name)
    cfg.experiment_name = uuid.uuid4().hex
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


@pytest.fixture(scope='module')
def pruned_by_l1(tmp_path_factory):
    """The folder of a pruning run, and the network that it left."""
    folder = tmp_path_factory.mktemp('l1')
    runner = prune(
        folder, Path(PRUNED).name, epochs=2, **{'model.prune_times': 2}
    )
    runner.model.eval()
    return folder / PRUNED, runner.model


def test_pruned_by_l1(tmp_path, start, build_runner, pruned_by_l1):
    folder, pruned = pruned_by_l1
    shutil.copytree(folder, tmp_path / PRUNED)
    [block] = section('After pruning')
    runner = start(block)
    student = runner.model.student
    assert student.backbone.layer1[0].conv1.weight.shape == (4, 4, 3, 3)
    assert student.backbone.layer3[2].conv2.weight.shape == (16, 16, 3, 3)
    assert student.head.fc.weight.shape == (10, 16)
    # A quarter of the channels both ways is a sixteenth of the weights.
    size = sum(param.numel() for param in student.parameters())
    whole = sum(param.numel() for param in runner.model.teacher.parameters())
    assert size < whole / 15
    # It starts as the pruned network.
    runner.model.init_weights()
    student.eval()
    images = torch.randn(2, 1, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(student(images), pruned(images))

    # The exported student needs no file of the pruning.
    runner.train()
    score = runner.message_hub.get_scalar('val/accuracy/top1').current()
    shutil.rmtree(tmp_path / PRUNED)
    cfg = Config.fromfile('work_dirs/block/student_config.py')
    cfg.work_dir = 'work_dirs/student'
    cfg.load_from = 'work_dirs/block/best_accuracy_top1_epoch_1_student.pth'
    exported = build_runner(cfg)
    exported.test_dataloader.dataset.get_subset_(128)
    assert exported.test()['accuracy/top1'] == score
    ours = exported.model.state_dict()
    assert set(ours) == set(student.state_dict())
    for name, value in student.state_dict().items():
        assert torch.equal(ours[name], value), name


def test_plain_fine_tuning_of_the_pruned(
    tmp_path, start, build_runner, pruned_by_l1
):
    folder, pruned = pruned_by_l1
    shutil.copytree(folder, tmp_path / PRUNED)
    name = 'finetune_resnet20-l1_1xb64_digits'
    cfg = Config.fromfile(ROOT / f'configs/mix/digits/{name}.py')
    shorten(cfg)
    cfg.custom_hooks = []
    cfg.work_dir = f'work_dirs/{name}'
    runner = build_runner(cfg)
    preprocessor = runner.model.data_preprocessor
    assert preprocessor.augments is not None
    assert preprocessor.mean.item() == pytest.approx(78.4)
    check_augmentation(runner)
    runner.model.init_weights()
    runner.model.eval()
    images = torch.randn(2, 1, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(runner.model(images), pruned(images))
    runner.train()

    del cfg.model.cfg['data_preprocessor']
    with pytest.raises(
        ValueError, match='MMRazor drops a data_preprocessor beside'
    ):
        check_augmentation(build_runner(cfg))


def test_pruned_by_group_fisher(tmp_path, monkeypatch, build_runner):
    monkeypatch.chdir(tmp_path)
    name = 'prune-fisher_resnet20_1xb64_digits'
    runner = prune(tmp_path, name, epochs=3)
    mutator = runner.model.mutator
    total = sum(unit.num_channels for unit in mutator.mutable_units)
    assert total == 384
    left = sum(mutator.current_choices.values())
    # A channel in each iteration
    assert total - left == runner.iter == 6
    # It judges them by the gradients of what the convolutions take.
    inputs = []
    conv = runner.model.architecture.backbone.layer2[1].conv2
    handle = conv.register_forward_pre_hook(
        lambda module, args: args[0].retain_grad() or inputs.append(args[0])
    )
    batch = runner.model.data_preprocessor(
        next(iter(runner.train_dataloader)), training=True
    )
    mutator.start_record_info()
    runner.model(**batch, mode='loss')['loss'].backward()
    mutator.end_record_info()
    handle.remove()
    assert inputs[0].grad.any()
    assert torch.equal(conv.recorded_grad[0], inputs[0].grad)
    mutator.reset_recorded_info()

    name = 'dskd_resnet20_resnet20-fisher_1xb64_digits'
    cfg = Config.fromfile(ROOT / f'configs/mix/digits/{name}.py')
    resolve_auto(shorten(cfg))
    cfg.work_dir = 'work_dirs/dskd'
    dskd = build_runner(cfg)
    dskd.model.init_weights()
    student = dskd.model.student
    student.eval()
    runner.model.eval()
    images = torch.randn(2, 1, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(student(images), runner.model(images))
    assert cfg.model.distiller.connectors.heads.in_channels == [
        student.backbone.layer1[-1].conv2.out_channels,
        student.backbone.layer2[-1].conv2.out_channels,
    ]
    dskd.train()
    assert len(scalars(dskd, 'distill.loss_dskd')) == 2


@pytest.mark.slow
def test_configs_of_cifar100(
    tmp_path, monkeypatch, build_runner, cifar_folder
):
    """Prune, recover in three ways, and distil without a teacher."""
    monkeypatch.chdir(tmp_path)
    folder = ROOT / 'configs/mix/cifar100'
    data_root = str(cifar_folder())
    channels = {
        'dskd_resnet32x4_resnet32x4-l1': (32, 64, 128),
        'prune-fisher_resnet32x4': (64, 128, 256),
    }
    names = (
        'prune-l1_resnet32x4',
        'finetune_resnet32x4-l1',
        'kd_resnet32x4_resnet32x4-l1',
        'dskd_resnet32x4_resnet32x4-l1',
        'prune-fisher_resnet32x4',
        'finetune_resnet32x4-fisher',
        'dskd_resnet32x4_resnet32x4-fisher',
        'dskd-self_resnet8x4',
    )
    for name in names:
        cfg = Config.fromfile(folder / f'{name}_1xb64_cifar100.py')
        shorten(cfg, batch_size=4, data_root=data_root)
        cfg.custom_hooks = [
            hook for hook in cfg.custom_hooks if 'mmdskd' in hook.type
        ]
        if 'prune' in name:
            del cfg.model.architecture.init_cfg
            cfg.train_cfg.val_interval = 1
        if 'l1' in name and 'prune' in name:
            cfg.train_cfg.max_epochs = cfg.model.prune_times = 2
        cfg.work_dir = f'work_dirs/{name}_1xb64_cifar100'
        runner = build_runner(resolve_auto(cfg))
        check_distillation(runner.model)
        check_augmentation(runner)
        runner.train()
        assert (
            0
            <= runner.message_hub.get_scalar('val/accuracy/top1').current()
            <= 100
        )
        if name in channels:
            backbone = runner.model.architecture.backbone
            assert channels[name] == tuple(
                getattr(backbone, layer)[-1].conv2.out_channels
                for layer in ('layer1', 'layer2', 'layer3')
            )
        if name == 'prune-fisher_resnet32x4':
            units = runner.model.mutator.mutable_units
            assert sum(unit.num_channels for unit in units) == 2464


# ---------------------------------------------------------------------------
# Without a teacher
# ---------------------------------------------------------------------------
def test_own_last_layer_as_teacher(start):
    [block] = section('Without a teacher')
    runner = start(block)
    model = runner.model
    assert not any('teacher' in name for name in model.state_dict())
    runner.train()
    assert len(scalars(runner, 'distill.loss_dskd')) == 2
    assert (Path('work_dirs/block') / 'student_config.py').exists()

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


# ---------------------------------------------------------------------------
# Several losses
# ---------------------------------------------------------------------------
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
    ['mmdskd.FrozenTeacherDistill', 'mmrazor.SingleTeacherDistill'],
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


# ---------------------------------------------------------------------------
# Hooks
# ---------------------------------------------------------------------------
def test_stopped_distillation(start):
    [block] = section('Stopping the distillation')
    runner = start(block.replace('stop_epoch=20', 'stop_epoch=1'), epochs=2)
    heads = runner.model.distiller.connectors
    kept = {}

    class Keep(Hook):
        def after_train_epoch(self, runner):
            kept.setdefault(
                'heads', {k: v.clone() for k, v in heads.state_dict().items()}
            )

    runner.register_hook(Keep())
    runner.train()
    names = {name for name, _ in heads.named_parameters()}
    assert look(runner).learning == [names, names, set(), set()]
    assert len(scalars(runner, 'distill.loss_dskd')) == 2
    assert len(scalars(runner, 'student.loss')) == 4
    # Not even weight decay and momentum move what gets no gradient.
    for name, value in heads.state_dict().items():
        assert torch.equal(value, kept['heads'][name]), name


def test_self_distillation_can_not_be_stopped(start):
    [block] = section('Without a teacher')
    runner = start(
        block + 'custom_hooks.append('
        "dict(type='mmrazor.StopDistillHook', stop_epoch=1))"
    )
    with pytest.raises(
        ValueError, match='SelfDistill can not be stopped to distil'
    ):
        runner.train()


def test_averaged_weights(start, build_runner):
    [block] = section('Averaged weights')
    runner = start(block.replace('momentum=0.001', 'momentum=0.25'))
    runner.train()
    hook = next(h for h in runner.hooks if type(h).__name__ == 'EMAHook')
    assert type(hook).__module__.startswith('mmpretrain')
    averaged = hook.ema_model.module
    assert averaged.teacher is runner.model.teacher
    name = 'backbone.conv1.weight'
    ours = averaged.student.get_parameter(name)
    assert not torch.equal(ours, runner.model.student.get_parameter(name))
    # The file holds the averaged ones, and gives the logged accuracy.
    path = 'work_dirs/block/best_accuracy_top1_epoch_1_student.pth'
    student = torch.load(path, weights_only=True)['state_dict']
    assert torch.equal(student[name], ours)


def test_hooks_of_mmpretrain(start):
    [block] = section('Hooks of MMPretrain')
    runner = start(
        block.replace('action_epoch=25', 'action_epoch=2'), epochs=2
    )
    seen = {}

    class Note(Hook):
        priority = 'VERY_HIGH'  # before PreciseBNHook

        def before_train_iter(self, runner, *args, **kwargs):
            model = runner.model
            seen.setdefault('weight', []).append(
                model.distiller.distill_losses['loss_dskd'].loss_weight
            )

        def after_train_epoch(self, runner):
            seen['heads'] = {
                name: value.clone()
                for name, value in runner.model.distiller.connectors.named_buffers()
            }
            seen['student'] = (
                runner.model.student.backbone.bn1.running_mean.clone()
            )

    runner.register_hook(Note())
    runner.train()
    # Warmed up in 5 epochs of 2 iterations; seen before that of the iteration.
    assert seen['weight'] == pytest.approx([1.0, 0.0, 0.1, 0.2])
    mixed = [
        (labels > 0).sum(dim=1).max().item() for labels in look(runner).labels
    ]
    # Two iterations, two of PreciseBNHook
    assert mixed == [2, 2, 1, 1]
    for name, value in runner.model.distiller.connectors.named_buffers():
        assert torch.equal(value, seen['heads'][name]), name
    assert not torch.equal(
        runner.model.student.backbone.bn1.running_mean, seen['student']
    )
    images = list(Path('work_dirs/block').rglob('vis_image/*.png'))
    assert len(images) == 4  # images 0 and 100 of each validation


def test_another_loss_is_refused(start):
    [block] = section('Hooks of MMPretrain')
    runner = start(
        block
        + """
custom_hooks = [dict(type='SwitchRecipeHook', schedule=[
    dict(action_epoch=1, loss=dict(type='mmpretrain.CrossEntropyLoss'))])]
"""
    )
    with pytest.raises(RuntimeError, match='Cannot access the `loss_module`'):
        runner.train()


def test_check_of_the_number_of_classes(start):
    [block] = section('Averaged weights')
    block += "custom_hooks.append(dict(type='ClassNumCheckHook'))\n"
    with pytest.raises(AssertionError, match=r'\(None\) in ClsDataPreproc'):
        start(block).train()
    start(
        block, **{'model.architecture.data_preprocessor': dict(num_classes=10)}
    ).train()


def test_adaptive_margins_do_not_work(start):
    [block] = section('Averaged weights')
    runner = start(
        block + "custom_hooks.append(dict(type='SetAdaptiveMarginsHook'))\n"
    )
    with pytest.raises(AttributeError, match="no attribute 'head'"):
        runner.train()


# ---------------------------------------------------------------------------
# Mixup, and the optimizer
# ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    'kind', ['AugmentingDataPreprocessor', 'ClsDataPreprocessor']
)
def test_mixup_and_cutmix(start, kind):
    [block] = section('Mixup and CutMix')
    changes = {
        'model.distiller.distill_losses.loss_dskd.label_loss': dict(
            type='mmpretrain.CrossEntropyLoss'
        ),
        'custom_hooks.2.enabled': False,
    }
    if kind == 'ClsDataPreprocessor':
        changes['data_preprocessor'] = dict(
            type='mmpretrain.ClsDataPreprocessor',
            _delete_=True,
            num_classes=10,
            mean=[78.4],
            std=[81.7],
            batch_augments=Config.fromstring(
                block.replace('_base_', 'base'), '.py'
            ).data_preprocessor.batch_augments,
        )
    runner = start(block, **changes)
    preprocessor = runner.model.data_preprocessor
    assert type(preprocessor).__name__ == kind
    assert isinstance(preprocessor.batch_augments, RandomBatchAugment)
    images = {'student': [], 'teacher': []}
    for name, seen in images.items():
        getattr(runner.model, name).backbone.register_forward_pre_hook(
            lambda module, args, seen=seen: seen.append(args[0])
        )
    runner.train()
    assert torch.equal(images['student'][0], images['teacher'][0])
    for labels in look(runner).labels[:2]:
        assert labels.shape == (64, 10)
        torch.testing.assert_close(labels.sum(dim=1), torch.ones(64))
        assert ((labels > 0).sum(dim=1) == 2).any()
    assert len(scalars(runner, 'distill.loss_dskd')) == 2


def test_mixup_with_a_loss_of_class_indices(start):
    [block] = section('Mixup and CutMix')
    runner = start(
        block,
        **{
            'model.distiller.distill_losses.loss_dskd.logit_loss': dict(
                type='DKDLoss', tau=4, _delete_=True
            )
        },
    )
    with pytest.raises(
        ValueError,
        match=r'DKDLoss takes class indices \(N, \), but got '
        r'labels \(64, 10\), as mixup and CutMix make them',
    ):
        runner.train()


def test_parameters_of_the_heads(start):
    [block] = section('Learning rate and weight decay of the heads')
    runner = start(block)
    runner.train()
    model = runner.model
    heads = {id(param) for param in model.distiller.connectors.parameters()}
    groups = runner.optim_wrapper.optimizer.param_groups
    seen = {True: 0, False: 0}
    for group in groups:
        [param] = group['params']
        is_head = id(param) in heads
        seen[is_head] += 1
        assert group['initial_lr'] == pytest.approx(0.005 if is_head else 0.05)
        assert group['weight_decay'] == (0 if is_head else 5e-4)
    assert seen == {
        True: len(heads),
        False: len(list(model.student.parameters())),
    }
    # It has no effect on the plain student.
    text = (Path('work_dirs/block') / 'student_config.py').read_text()
    assert 'architecture' not in text


# ---------------------------------------------------------------------------
# Varying widths
# ---------------------------------------------------------------------------


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
            lambda module, args, output, name=type(module).__name__: (
                widths.add((name, output.shape[1]))
            )
        )
    before = {
        name: value.clone()
        for name, value in runner.model.distiller.connectors.named_parameters()
    }
    runner.train()
    assert {width for name, width in widths if name == 'ResLayer'} == {4}
    assert len(widths) > 3
    for kind in ('min', 'random0', 'random1'):
        assert len(scalars(runner, f'{kind}_subnet.loss_dskd')) == 2
    for name, value in runner.model.distiller.connectors.named_parameters():
        assert not torch.equal(value, before[name]), name


def test_heads_on_layers_of_varying_width_are_refused(start):
    [block] = section('While the widths vary')
    with pytest.raises(
        ValueError,
        match="AutoSlim varies the width of 'backbone.layer2' from step "
        r"to step.*units=\{'backbone.layer2.0.conv2_\(0, 8\)_8': "
        r'dict\(init_args=dict\(candidate_choices=\[1.0\], ',
    ):
        start(block.replace("'backbone.layer2.0.conv2_(0, 8)_8': fixed", ''))


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
