import pytest
import torch
from teacher_helpers import (
    FROZEN,
    STOCK,
    assert_same_losses,
    batch_norms,
    count_calls,
    losses_of,
    make_batch,
    recorded,
)
from torch import nn

from mmdskd.models.algorithms import teacher_forward as module


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
    assert_same_losses(losses_of(algorithm), expected, 1e-4)


def test_teacher_without_a_task_loss(build, monkeypatch):
    expected = losses_of(build())
    algorithm = build()

    def refuse(*args, **kwargs):
        raise NotImplementedError('not to be trained')

    monkeypatch.setattr(algorithm.teacher.head, 'loss', refuse)
    assert_same_losses(losses_of(algorithm), expected, 0)


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
    assert_same_losses(losses, expected, 1e-4)


def test_half_precision_is_recorded_as_float32(build):
    plain = recorded(build())
    half = recorded(build(teacher_autocast_dtype='bfloat16'))
    for name, [expected] in plain.items():
        [found] = half[name]
        assert found.dtype == torch.float32
        assert not torch.equal(found, expected)
        error = (found - expected).abs().max() / expected.abs().max()
        assert error < 0.05


@pytest.mark.skipif(
    not hasattr(nn.Module, 'compile'), reason='torch has no compile'
)
def test_compiled_teacher(build):
    expected = losses_of(build(type=STOCK))
    algorithm = build(type=FROZEN, teacher_compile=dict(backend='eager'))
    assert_same_losses(losses_of(algorithm), expected, 1e-4)
    assert algorithm.teacher._compiled_call_impl is not None

    def wrong(graph, inputs):
        return lambda *args: [3 * value for value in graph(*args)]

    algorithm = build(teacher_compile=dict(backend='eager'))
    algorithm.teacher_forward.compile_cfg = dict(backend=wrong)
    assert_same_losses(losses_of(algorithm), expected, 1e-4)
    assert algorithm.teacher._compiled_call_impl is None
