"""Logits KD in plain PyTorch, against the config."""

import pytest
import torch


def test_plain_loop_is_the_config_in_plain_pytorch(build, kd_config):
    kd_config.model.architecture.head.loss.loss_weight = 0.5
    kd_config.model.distiller.distill_losses.loss_kd.update(
        tau=2, loss_weight=3.0
    )
    plain, loop = build(kd_config, plain_loop=True)
    assert plain.student.backbone.layer1[0].relu.inplace
    assert not plain.teacher.training and plain.student.training
    student = loop.runner.model.architecture
    start = student.head.fc.weight.clone()
    for _ in range(2):
        plain.step()
        loop.step()
        assert plain.loss == pytest.approx(loop.loss, rel=1e-5)
    assert not torch.equal(student.head.fc.weight, start)
    for name, tensor in plain.student.state_dict().items():
        torch.testing.assert_close(
            tensor, student.state_dict()[name], rtol=1e-4, atol=1e-6
        )


def test_images_of_the_teacher(build, kd_config):
    """Of three channels, another normalisation and another size."""
    model = kd_config.model
    model.type = 'mmdskd.FrozenTeacherDistill'
    model.teacher_data_preprocessor = dict(mean=[9.0] * 3, std=[5.0] * 3)
    model.teacher_input_size = 24
    model.teacher.backbone.in_channels = 3
    plain, loop = build(kd_config, plain_loop=True)
    sizes = []
    for teacher in (plain.teacher, loop.runner.model.teacher):
        teacher.register_forward_pre_hook(
            lambda module, args: sizes.append(tuple(args[0].shape))
        )
    for _ in range(2):
        plain.step()
        loop.step()
        assert plain.loss == pytest.approx(loop.loss, rel=1e-5)
    assert set(sizes) == {(8, 3, 24, 24)}


@pytest.mark.parametrize(
    'change, message',
    [
        (
            {'model.distiller.distill_losses.loss_kd.type': 'DKDLoss'},
            r'whose model.distiller.distill_losses.loss_kd is a '
            'KLDivergence with no setting but tau, loss_weight, but got '
            ".*'DKDLoss'",
        ),
        (
            {'model.distiller.distill_losses.loss_kd.reduction': 'sum'},
            "but got .*'reduction': 'sum'",
        ),
        (
            {'model.distiller.distill_losses.more': dict(type='KLDivergence')},
            r'one loss in model.distiller.distill_losses, but got '
            r"\['loss_kd', 'more'\]",
        ),
        (
            {'model.architecture.head.loss.type': 'LabelSmoothLoss'},
            'head.loss is a CrossEntropyLoss .* but got',
        ),
        (
            {'optim_wrapper.type': 'AmpOptimWrapper'},
            'optim_wrapper is a OptimWrapper with no setting but optimizer',
        ),
        (
            {'optim_wrapper.clip_grad': dict(max_norm=1)},
            "but got .*'clip_grad'",
        ),
    ],
)
def test_plain_loop_takes_logits_kd(build, kd_config, change, message):
    kd_config.merge_from_dict(change)
    with pytest.raises(
        ValueError, match=f'--plain-loop should meet .*{message}'
    ):
        build(kd_config, plain_loop=True)


def test_plain_loop_needs_a_distiller(build, plain_config):
    with pytest.raises(ValueError, match=r'but got \[\]'):
        build(plain_config, plain_loop=True)
