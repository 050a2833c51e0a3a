import copy
import pickle

import pytest
import torch
from mmengine.hooks import EMAHook
from mmengine.model import PretrainedInit
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmdskd.models.algorithms import teacher_forward as module
from mmdskd.utils import load_checkpoint_file

FROZEN = 'mmdskd.FrozenTeacherDistill'
STOCK = 'mmrazor.SingleTeacherDistill'


def make_teacher(cfg):
    """A teacher whose batch norms are not the identity."""
    torch.manual_seed(5)
    teacher = MODELS.build(cfg)
    for parameter in teacher.parameters():
        if parameter.dim() > 1:
            nn.init.kaiming_normal_(parameter)
    for norm in teacher.modules():
        if isinstance(norm, _BatchNorm):
            norm.momentum = None
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias)
    teacher.train()
    with torch.no_grad():
        for _ in range(3):
            teacher(torch.randn(32, 1, 16, 16))
    return teacher.eval()


@pytest.fixture
def config(dskd_config, tmp_path):
    """DSKD with the frozen teacher, and its checkpoint."""
    path = str(tmp_path / 'teacher.pth')
    teacher = make_teacher(dskd_config.model.teacher)
    torch.save(dict(state_dict=teacher.state_dict()), path)
    dskd_config.model.type = FROZEN
    dskd_config.model.teacher_ckpt = path
    return dskd_config


@pytest.fixture
def build(config):
    """Build the algorithm with changed arguments, in training mode."""

    def run(**changes):
        config.merge_from_dict(
            {
                f'model.{key.replace("__", ".")}': value
                for key, value in changes.items()
            }
        )
        torch.manual_seed(0)
        algorithm = MODELS.build(config.model)
        algorithm.init_weights()
        algorithm.train()
        return algorithm

    return run


def make_batch(size=8):
    images = torch.randn(
        size, 1, 16, 16, generator=torch.Generator().manual_seed(1)
    )
    return images, [DataSample().set_gt_label(i % 10) for i in range(size)]


def losses_of(algorithm, iterations=5):
    """Losses of the first iterations of training by SGD."""
    optimizer = torch.optim.SGD(
        [p for p in algorithm.parameters() if p.requires_grad], lr=0.05
    )
    history = []
    for _ in range(iterations):
        losses = algorithm(*make_batch(), mode='loss')
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        history.append({key: value.item() for key, value in losses.items()})
    return history


def assert_same_losses(ours, theirs, tolerance):
    assert len(ours) == len(theirs)
    for row, expected in zip(ours, theirs):
        assert row == pytest.approx(expected, rel=tolerance)


def recorded(algorithm):
    """What the teacher's recorders hold when the losses are computed."""
    data = dict()
    compute = algorithm.distiller.compute_distill_losses

    def spy():
        for (
            name,
            recorder,
        ) in algorithm.distiller.teacher_recorders.recorders.items():
            data[name] = list(recorder.data_buffer)
        return compute()

    algorithm.distiller.compute_distill_losses = spy
    algorithm(*make_batch(), mode='loss')
    return data


def batch_norms(model):
    return [
        name for name, m in model.named_modules() if isinstance(m, _BatchNorm)
    ]


@pytest.mark.parametrize(
    'changes, tolerance',
    [
        (dict(), 1e-5),
        (dict(teacher_module_inplace=True), 1e-5),
        (dict(teacher_fold_bn=True), 1e-3),
        (dict(teacher_channels_last=True), 1e-3),
        (dict(teacher_fold_bn=True, teacher_channels_last=True), 1e-3),
    ],
)
def test_losses_are_those_of_the_stock_algorithm(build, changes, tolerance):
    expected = losses_of(build(type=STOCK))
    assert_same_losses(
        losses_of(build(type=FROZEN, **changes)), expected, tolerance
    )


def test_training_by_the_runner_is_that_of_the_stock_algorithm(
    config, build_runner
):
    """Same seed, same numbers drawn, same student."""
    weights = []
    for type_ in (STOCK, FROZEN):
        config.model.type = type_
        config.train_cfg.max_epochs = 1
        runner = build_runner(config)
        runner.train()
        weights.append(runner.model.architecture.state_dict())
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value)


def test_teacher_with_dropout_is_in_eval(build):
    """Two forwards of the teacher agree, and so its modules say."""
    head = dict(
        _delete_=True,
        type='mmpretrain.StackedLinearClsHead',
        num_classes=10,
        in_channels=32,
        mid_channels=[16],
        dropout_rate=0.5,
        loss=dict(type='mmpretrain.CrossEntropyLoss'),
    )
    algorithm = build(
        teacher__head=head,
        teacher_ckpt=None,
        distiller__teacher_recorders__logits__source='head.layers.1.fc',
    )
    assert any(isinstance(m, nn.Dropout) for m in algorithm.teacher.modules())
    for mode in (True, False, True):
        assert algorithm.train(mode) is algorithm
        assert algorithm.architecture.training == mode
        assert not any(m.training for m in algorithm.teacher.modules())
    first, second = (recorded(algorithm)['logits'][0] for _ in range(2))
    assert torch.equal(first, second)


def test_recorded_tensors_need_no_gradient_and_are_let_go(build):
    algorithm = build()
    data = recorded(algorithm)
    assert not any(t.requires_grad for [t] in data.values())
    for manager in (
        algorithm.distiller.student_recorders,
        algorithm.distiller.teacher_recorders,
    ):
        for recorder in manager.recorders.values():
            assert recorder.data_buffer == []


def count_calls(model, name):
    calls = []
    model.get_submodule(name).register_forward_hook(
        lambda *args: calls.append(1)
    )
    return calls


def test_no_task_loss_is_computed(build):
    algorithm = build()
    calls = count_calls(algorithm.teacher, 'head.loss_module')
    algorithm(*make_batch(), mode='loss')
    assert len(calls) == 1  # to see that nothing recorded needs it
    algorithm(*make_batch(), mode='loss')
    assert len(calls) == 1


def test_recorder_that_needs_the_task_loss(build):
    """It falls back to the whole forward."""
    algorithm = build(
        distiller__teacher_recorders__logits=dict(
            type='ModuleInputs', source='head.loss_module'
        ),
        distiller__loss_forward_mappings__loss_kd__preds_T__data_idx=0,
        distiller__loss_forward_mappings__loss_dskd__preds_T__data_idx=0,
    )
    expected = losses_of(build(type=STOCK))
    assert_same_losses(losses_of(algorithm), expected, 1e-5)


def test_teacher_without_a_task_loss(build, monkeypatch):
    expected = losses_of(build())
    algorithm = build()

    def refuse(*args, **kwargs):
        raise NotImplementedError('not to be trained')

    monkeypatch.setattr(algorithm.teacher.head, 'loss', refuse)
    assert_same_losses(losses_of(algorithm), expected, 0)


def test_layer_wise_decay_of_the_learning_rate(build):
    algorithm = build()
    with pytest.raises(
        NotImplementedError, match="doesn't support `get_layer_depth`"
    ):
        algorithm.get_layer_depth('architecture.backbone.conv1.weight')
    student = build_vit()
    algorithm.architecture = student
    depths = {
        name: algorithm.get_layer_depth(name)
        for name in (
            'architecture.backbone.patch_embed.projection.weight',
            'architecture.backbone.layers.1.ln1.weight',
            'architecture.head.layers.head.weight',
            'distiller.connectors.heads.heads.0.classifier.weight',
        )
    }
    # Stem, two blocks, and what comes after them.
    assert list(depths.values()) == [(0, 4), (2, 4), (3, 4), (3, 4)]
    algorithm.architecture = torch.nn.Linear(2, 2)
    with pytest.raises(NotImplementedError, match='but Linear has none'):
        algorithm.get_layer_depth('architecture.weight')


def build_vit():
    return MODELS.build(
        dict(
            type='ImageClassifier',
            _scope_='mmpretrain',
            backbone=dict(
                type='VisionTransformer',
                arch=dict(
                    embed_dims=8,
                    num_layers=2,
                    num_heads=2,
                    feedforward_channels=8,
                ),
                img_size=16,
                patch_size=4,
            ),
            head=dict(
                type='VisionTransformerClsHead', num_classes=10, in_channels=8
            ),
        )
    )


def test_recorder_that_records_nothing(build):
    algorithm = build(
        distiller__teacher_recorders__feat__source='data_preprocessor'
    )
    with pytest.raises(
        ValueError,
        match="teacher_recorders: 'feat' should record "
        r"'data_preprocessor' 1 time\(s\) in a forward .* got 0",
    ):
        algorithm(*make_batch(), mode='loss')
    algorithm = build(
        distiller__teacher_recorders__feat__source='backbone.layer3',
        distiller__loss_forward_mappings__loss_dskd__feat_T__record_idx=1,
    )
    with pytest.raises(ValueError, match=r'2 time\(s\) .* got 1 records'):
        algorithm(*make_batch(), mode='loss')


def test_delivery_gets_the_whole_forward(build):
    """A delivery may sit in the task loss, where no recorder tells."""
    algorithm = build(
        distiller__distill_deliveries=dict(
            labels=dict(
                type='FunctionOutputs',
                max_keep_data=1,
                func_path='mmpretrain.models.losses.cross_entropy_loss.'
                'weight_reduce_loss',
            )
        )
    )
    losses = algorithm(*make_batch(), mode='loss')
    # The student's task loss is replaced by the teacher's.
    with torch.no_grad():
        expected = algorithm.teacher(*make_batch(), mode='loss')['loss']
    torch.testing.assert_close(losses['student.loss'], expected)


@pytest.mark.parametrize('changes', [
    dict(), dict(teacher_autocast_dtype='bfloat16'),
    dict(teacher_fold_bn=True, teacher_channels_last=True)
])  # yapf: disable
def test_delivered_tensors_stay_as_they_are(build, changes):
    """What is delivered is followed by an in-place activation."""
    deliveries = dict(
        feat=dict(
            type='MethodOutputs',
            max_keep_data=10,
            method_path='torch.nn.BatchNorm2d.forward',
        )
    )
    # Of one size, so that the student can take what the teacher has.
    student = dict(
        architecture__backbone__stem_channels=8,
        architecture__backbone__stage_channels=(8, 16, 32),
        architecture__head__in_channels=32,
        distiller__connectors__heads__in_channels=[8, 16],
        distiller__distill_deliveries=deliveries,
    )
    expected = build(type=STOCK, **student)(*make_batch(), mode='loss')
    losses = build(type=FROZEN, **student, **changes)(
        *make_batch(), mode='loss'
    )
    tolerance = 0.1 if 'teacher_autocast_dtype' in changes else 1e-3
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(
            value.item(), rel=tolerance
        ), name


def test_records_of_another_forward_keep_the_task_loss(build, monkeypatch):
    """As in a model whose two forwards compute other values."""
    algorithm = build()
    head = algorithm.teacher.head
    pre_logits = head.pre_logits
    monkeypatch.setattr(
        head,
        'loss',
        lambda feats, samples: dict(loss=head.fc(2 * pre_logits(feats)).sum()),
    )
    data = recorded(algorithm)
    with torch.no_grad():
        expected = head.fc(
            2 * pre_logits(algorithm.teacher.extract_feat(make_batch()[0]))
        )
    torch.testing.assert_close(data['logits'][0], expected)


def test_stopped_distillation_runs_no_teacher(build):
    algorithm = build()
    algorithm.distillation_stopped = True
    calls = count_calls(algorithm.teacher, 'backbone')
    losses = algorithm(*make_batch(), mode='loss')
    assert calls == []
    assert list(losses) == ['student.loss']


@pytest.mark.parametrize('trainable', [True, False])
def test_student_loss_that_is_left_out(build, trainable):
    algorithm = build(
        calculate_student_loss=False, student_trainable=trainable
    )
    losses = algorithm(*make_batch(), mode='loss')
    assert set(losses) == {'distill.loss_kd', 'distill.loss_dskd'}
    losses['distill.loss_dskd'].backward()
    assert (
        algorithm.architecture.backbone.conv1.weight.grad is not None
    ) == trainable


def test_inplace_activations_are_on_where_they_harm_nothing(build):
    algorithm = build()
    names = [
        name
        for name, m in algorithm.teacher.named_modules()
        if hasattr(m, 'inplace')
    ]
    assert names
    assert not any(
        algorithm.teacher.get_submodule(name).inplace for name in names
    )
    algorithm(*make_batch(), mode='loss')
    assert all(algorithm.teacher.get_submodule(name).inplace for name in names)
    assert not any(
        getattr(m, 'inplace', False) for m in algorithm.student.modules()
    )


def test_inplace_activations_leave_a_recorded_batch_norm_alone(build):
    algorithm = build(
        distiller__teacher_recorders__feat__source='backbone.layer3.0.bn1'
    )
    [feat] = recorded(algorithm)['feat']
    assert feat.min() < 0
    assert not any(
        getattr(m, 'inplace', False) for m in algorithm.teacher.modules()
    )


def test_batch_norms_are_folded(build):
    algorithm = build()
    plain = recorded(algorithm)
    algorithm = build(teacher_fold_bn=True)
    before = batch_norms(algorithm.teacher)
    assert before
    folded = recorded(algorithm)
    assert batch_norms(algorithm.teacher) == []
    for name, [expected] in plain.items():
        torch.testing.assert_close(
            folded[name][0], expected, rtol=1e-4, atol=1e-4
        )
        assert not torch.equal(folded[name][0], expected)


def test_recorded_batch_norm_is_not_folded(build):
    kept = 'backbone.layer3.0.bn1'
    algorithm = build(
        teacher_fold_bn=True, distiller__teacher_recorders__feat__source=kept
    )
    recorded(algorithm)
    assert batch_norms(algorithm.teacher) == [kept]


def test_channels_last_records_contiguous_tensors(build):
    algorithm = build(teacher_channels_last=True)
    [feat] = recorded(algorithm)['feat']
    assert feat.is_contiguous()
    weight = algorithm.teacher.backbone.layer3[0].conv1.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not algorithm.student.backbone.layer3[0].conv1.weight.is_contiguous(
        memory_format=torch.channels_last
    )


def test_inexact_speedup_is_undone_with_a_warning(build, config, monkeypatch):
    messages = []
    monkeypatch.setattr(
        module, 'print_log', lambda message, *args: messages.append(message)
    )
    monkeypatch.setattr(module, 'TOLERANCE', -1.0)
    expected = losses_of(build(type=STOCK))
    config.model.type = FROZEN
    algorithm = build(teacher_fold_bn=True, teacher_channels_last=True)
    before = batch_norms(algorithm.teacher)
    losses = losses_of(algorithm)
    assert batch_norms(algorithm.teacher) == before
    weight = algorithm.teacher.backbone.layer3[0].conv1.weight
    assert weight.is_contiguous()
    assert [message.split(';')[0] for message in messages] == [
        'Off for the teacher: going without its task loss',
        'Off for the teacher: in-place activations',
        'Off for the teacher: teacher_fold_bn',
        'Off for the teacher: teacher_channels_last',
    ]
    assert 'of its largest value' in messages[1]
    assert_same_losses(losses, expected, 1e-5)


def test_half_precision_is_recorded_as_float32(build):
    plain = recorded(build())
    half = recorded(build(teacher_autocast_dtype='bfloat16'))
    for name, [expected] in plain.items():
        [found] = half[name]
        assert found.dtype == torch.float32
        assert not torch.equal(found, expected)
        error = (found - expected).abs().max() / expected.abs().max()
        assert error < 0.05


def test_half_precision_that_is_not_there(build, monkeypatch):
    with pytest.raises(
        ValueError,
        match="should be one of bfloat16, float16, or None, but got 'int8'",
    ):
        build(teacher_autocast_dtype='int8')

    def conv2d(*args):
        raise RuntimeError('no such type')

    monkeypatch.setattr(module.F, 'conv2d', conv2d)
    with pytest.raises(
        ValueError,
        match="teacher_autocast_dtype='bfloat16' is not there on 'c.*' "
        'with torch .*: no such type',
    ):
        build(teacher_autocast_dtype='bfloat16')
    # Old PyTorch ignores the type with a warning.
    monkeypatch.setattr(module.F, 'conv2d', lambda x, weight: x)
    with pytest.raises(ValueError, match='torch.float32'):
        build(teacher_autocast_dtype='bfloat16')


@pytest.mark.skipif(
    not hasattr(nn.Module, 'compile'), reason='torch has no compile'
)
def test_compiled_teacher(build):
    expected = losses_of(build(type=STOCK))
    algorithm = build(type=FROZEN, teacher_compile=dict(backend='eager'))
    assert_same_losses(losses_of(algorithm), expected, 1e-5)
    assert algorithm.teacher._compiled_call_impl is not None

    def wrong(graph, inputs):
        return lambda *args: [3 * value for value in graph(*args)]

    algorithm = build(teacher_compile=dict(backend='eager'))
    algorithm.teacher_compile = dict(backend=wrong)
    assert_same_losses(losses_of(algorithm), expected, 1e-5)
    assert algorithm.teacher._compiled_call_impl is None


def test_compile_that_is_not_there(build, monkeypatch):
    if hasattr(nn.Module, 'compile'):
        for cfg in (dict(backend='nope'), dict(foo=1)):
            with pytest.raises(
                ValueError, match='is not what torch.compile takes here'
            ):
                build(teacher_compile=cfg)
    with pytest.raises(ValueError, match="bool or a dict .* got 'yes'"):
        build(teacher_compile='yes')
    monkeypatch.delattr(nn.Module, 'compile', raising=False)
    with pytest.raises(ValueError, match='teacher_compile needs torch >='):
        build(teacher_compile=True)


@pytest.mark.parametrize('name', ['teacher_fold_bn', 'teacher_channels_last'])
def test_switches_are_bools(build, name):
    with pytest.raises(ValueError, match=f"{name} should be .* got 'no'"):
        build(**{name: 'no'})


@pytest.mark.parametrize(
    'name, value', [('teacher_trainable', True), ('teacher_norm_eval', False)]
)
def test_teacher_can_not_be_trained(build, name, value):
    with pytest.raises(
        ValueError,
        match=f'{name} of FrozenTeacherDistill should be {not value}, but '
        f'got {value}: .* mmrazor.SingleTeacherDistill',
    ):
        build(**{name: value})


def test_teacher_is_no_child(build):
    algorithm = build()
    assert not any('teacher.' in name for name in algorithm.state_dict())
    ours = {id(p) for p in algorithm.teacher.parameters()}
    assert not ours & {id(p) for p in algorithm.parameters()}
    assert not any(p.requires_grad for p in algorithm.teacher.parameters())
    optimizer = torch.optim.SGD(algorithm.parameters(), lr=1)
    assert not ours & {id(p) for p in optimizer.param_groups[0]['params']}


def test_teacher_moves_with_the_algorithm(build):
    algorithm = build()
    parts = [algorithm.architecture, algorithm.distiller, algorithm.teacher]

    def types():
        return {p.dtype for part in parts for p in part.parameters()}

    algorithm.double()
    assert types() == {torch.float64}
    algorithm.to(torch.float32)
    assert types() == {torch.float32}
    algorithm.to(torch.device('meta'))
    assert {p.device.type for part in parts for p in part.parameters()} == {
        'meta'
    }
    assert algorithm.teacher.backbone.bn1.running_mean.is_meta


def test_copies_share_the_teacher(build):
    algorithm = build()
    losses_of(algorithm, 1)
    copied = copy.deepcopy(algorithm)
    assert copied.teacher is algorithm.teacher
    assert copied.architecture is not algorithm.architecture
    assert_same_losses(losses_of(copied, 2), losses_of(algorithm, 2), 1e-5)
    # An averaged model may live elsewhere.
    copied.to(torch.device('meta'))
    assert not algorithm.teacher.backbone.conv1.weight.is_meta


def test_pickle(build):
    algorithm = build()
    loaded = pickle.loads(pickle.dumps(algorithm))
    assert loaded.teacher is not algorithm.teacher
    assert_same_losses(losses_of(loaded), losses_of(algorithm), 1e-5)


@pytest.mark.parametrize(
    'kind', ['Pretrained', PretrainedInit, 'mmengine.model.PretrainedInit']
)
def test_pretrained_teacher_is_loaded_strictly(build, config, kind):
    path = config.model.teacher_ckpt
    expected = load_checkpoint_file(path)['state_dict']
    options = dict(
        teacher_ckpt=None, teacher__init_cfg=dict(type=kind, checkpoint=path)
    )
    algorithm = build(**options)
    for name, value in algorithm.teacher.state_dict().items():
        assert torch.equal(value, expected[name]), name
    torch.save(dict(state_dict={'head.fc.bias': torch.zeros(10)}), path)
    with pytest.raises(ValueError, match='teacher_ckpt should hold .*missing'):
        build(**options)


def test_part_of_the_teacher_is_pretrained(build, config):
    path = config.model.teacher_ckpt
    expected = load_checkpoint_file(path)['state_dict']
    algorithm = build(
        teacher_ckpt=None,
        teacher__backbone__init_cfg=dict(
            type='Pretrained', checkpoint=path, prefix='backbone.'
        ),
    )
    for name, value in algorithm.teacher.state_dict().items():
        is_same = torch.equal(value, expected[name])
        assert is_same or not name.startswith('backbone.'), name


def test_built_teacher_keeps_its_weights(build, config):
    teacher = make_teacher(config.model.teacher)
    expected = copy.deepcopy(teacher.state_dict())
    cfg = copy.deepcopy(config.model.to_dict())
    cfg.update(teacher=teacher, teacher_ckpt=None)
    algorithm = MODELS.build(cfg)
    algorithm.init_weights()
    for name, value in algorithm.teacher.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_random_teacher_draws_no_numbers_of_the_student(build):
    """The student starts alike, whatever its teacher."""
    first = build().architecture.state_dict()
    second = build(teacher_ckpt=None).architecture.state_dict()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_distilled_student_is_the_next_teacher(config, build_runner):
    config.train_cfg.max_epochs = 1
    runner = build_runner(config)
    runner.train()
    student = runner.model.architecture.state_dict()
    config.model.teacher_ckpt = f'{config.work_dir}/epoch_1.pth'
    config.model.teacher = config.model.architecture
    distiller = config.model.distiller
    distiller.connectors.heads.out_channels = 16
    algorithm = MODELS.build(config.model)
    for name, value in algorithm.teacher.state_dict().items():
        assert torch.equal(value, student[name]), name
    algorithm(*make_batch(), mode='loss')


def test_checkpoint_holds_no_teacher_and_resumes(config, build_runner):
    runner = build_runner(config)
    runner.train()
    path = f'{config.work_dir}/epoch_2.pth'
    checkpoint = load_checkpoint_file(path)
    assert not any('teacher.' in name for name in checkpoint['state_dict'])
    assert len(checkpoint['optimizer']['param_groups'][0]['params']) == len(
        list(runner.model.parameters())
    )

    expected = runner.model.state_dict()
    config.load_from, config.resume = path, True
    resumed = build_runner(config)
    resumed.train()
    assert resumed.iter == runner.iter
    for name, value in resumed.model.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_resume_with_another_teacher_is_refused(config, build_runner):
    build_runner(config).train()
    path = config.model.teacher_ckpt
    checkpoint = load_checkpoint_file(path)
    checkpoint['state_dict']['head.fc.bias'][3] += 1e-3
    torch.save(checkpoint, path)
    config.load_from, config.resume = f'{config.work_dir}/epoch_2.pth', True
    with pytest.raises(
        ValueError,
        match='should go on with the teacher that it began with, but its '
        'checkpoint is of the teacher with digest [0-9a-f]{12}..., and '
        "teacher_ckpt='.*teacher.pth' has [0-9a-f]{12}",
    ):
        build_runner(config).train()
    # The student itself is as good as before.
    assert build_runner(config).test()['accuracy/top1'] >= 0


def test_resume_without_the_teacher_is_refused(config, build_runner, tmp_path):
    build_runner(config).train()
    (tmp_path / 'teacher.pth').unlink()
    config.load_from, config.resume = f'{config.work_dir}/epoch_2.pth', True
    with pytest.raises(FileNotFoundError, match='no .*teacher.pth'):
        build_runner(config)


@pytest.mark.parametrize('update_buffers', [False, True])
def test_averaged_model_leaves_the_teacher_out(
    config, build_runner, update_buffers
):
    config.custom_hooks.append(
        dict(type='EMAHook', momentum=0.1, update_buffers=update_buffers)
    )
    runner = build_runner(config)
    before = copy.deepcopy(runner.model.teacher.state_dict())
    runner.train()
    hook = next(hook for hook in runner.hooks if isinstance(hook, EMAHook))
    assert hook.ema_model.module.teacher is runner.model.teacher
    assert not any('teacher.' in name for name in hook.ema_model.state_dict())
    for name, value in runner.model.teacher.state_dict().items():
        assert torch.equal(value, before[name]), name

    expected = hook.ema_model.state_dict()
    config.load_from, config.resume = f'{config.work_dir}/epoch_2.pth', True
    resumed = build_runner(config)
    resumed.train()
    hook = next(hook for hook in resumed.hooks if isinstance(hook, EMAHook))
    for name, value in hook.ema_model.state_dict().items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize('way', ['init_cfg', 'load_from'])
def test_teacher_of_a_stock_checkpoint_is_taken(config, build_runner, way):
    """The checkpoints of MMRazor's algorithm hold it."""
    config.model.type = STOCK
    config.train_cfg.max_epochs = 1
    stock = build_runner(config)
    stock.train()
    path = f'{config.work_dir}/epoch_1.pth'
    config.model.type = FROZEN
    config.model.teacher_ckpt = None
    if way == 'init_cfg':
        config.model.init_cfg = dict(type='Pretrained', checkpoint=path)
    else:
        config.load_from = path
    frozen = build_runner(config)
    if way == 'init_cfg':
        frozen.model.init_weights()
    else:
        frozen.load_checkpoint(path)
    expected = stock.model.teacher.state_dict()
    for name, value in frozen.model.teacher.state_dict().items():
        assert torch.equal(value, expected[name]), name
    assert torch.equal(
        frozen.model.teacher_digest, module.digest(stock.model.teacher)
    )
    frozen.model(*make_batch(), mode='loss')
    with pytest.raises(ValueError, match='loaded before its first batch'):
        frozen.load_checkpoint(path)


def test_largest_difference():
    ones = torch.ones(2, 2)
    assert module.largest_difference([ones], [ones]) == 0
    assert module.largest_difference(
        [ones, ones * 1.5], [ones, ones * 2]
    ) == pytest.approx(0.25)
    assert module.largest_difference([torch.zeros(1)], [torch.zeros(1)]) == 0
    assert module.largest_difference([], []) == 0
    nan = module.largest_difference([ones * float('nan')], [ones])
    assert nan != nan
    with pytest.raises(ValueError, match='recorded shapes'):
        module.largest_difference([ones], [ones[0]])


def test_every_scope_finds_it():
    for registry in (MMENGINE_MODELS, MMPRETRAIN_MODELS, MODELS):
        assert registry.get(FROZEN) is module.FrozenTeacherDistill
