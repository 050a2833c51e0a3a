"""A frozen teacher that was trained on images of another kind."""

import copy

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from mmpretrain.models import ClsDataPreprocessor
from teacher_helpers import losses_of, make_batch, recorded

OWN = dict(mean=[10.0], std=[5.0])
OURS = dict(type='mmpretrain.ClsDataPreprocessor', mean=[77.7], std=[33.3])


def teacher_images(algorithm, images):
    """What the teacher gets in a step."""
    seen = []
    handle = algorithm.teacher.register_forward_pre_hook(
        lambda module, args: seen.append(args[0])
    )
    algorithm(images, make_batch()[1], mode='loss')
    handle.remove()
    return seen[-1]


def test_without_it_the_teacher_gets_the_very_images(build):
    algorithm = build()
    assert algorithm.teacher_preprocessor is None
    images = make_batch()[0]
    algorithm(images, make_batch()[1], mode='loss')  # the first one, tried
    assert teacher_images(algorithm, images) is images


def test_logits_are_those_of_the_teacher_alone(build):
    """Raw pixels through its own preprocessor, and no distillation."""
    algorithm = build(data_preprocessor=OURS, teacher_data_preprocessor=OWN)
    raw = torch.randint(256, (8, 1, 16, 16)).float()
    images = algorithm.data_preprocessor(dict(inputs=raw))['inputs']
    with torch.no_grad():
        expected = algorithm.teacher(
            ClsDataPreprocessor(**OWN)(dict(inputs=raw))['inputs']
        )
    kept = []
    compute = algorithm.distiller.compute_distill_losses

    def spy():
        recorder = algorithm.distiller.teacher_recorders.recorders['logits']
        kept.append(recorder.data_buffer[0])
        return compute()

    algorithm.distiller.compute_distill_losses = spy
    algorithm(images, make_batch()[1], mode='loss')
    torch.testing.assert_close(kept[0], expected, rtol=1e-4, atol=1e-4)


def test_student_gets_its_own_images(build):
    algorithm = build(data_preprocessor=OURS, teacher_data_preprocessor=OWN)
    seen = []
    algorithm.architecture.register_forward_pre_hook(
        lambda module, args: seen.append(args[0])
    )
    images = make_batch()[0]
    # From (x - 77.7) / 33.3 to (x - 10) / 5.
    torch.testing.assert_close(
        teacher_images(algorithm, images), images * 6.66 + 13.54
    )
    assert seen[-1] is images


@pytest.mark.parametrize(
    'speedup',
    [
        dict(teacher_fold_bn=True, teacher_channels_last=True),
        dict(teacher_autocast_dtype='bfloat16'),
    ],
)
def test_speedups(build, speedup):
    changes = dict(data_preprocessor=OURS, teacher_data_preprocessor=OWN)
    expected = losses_of(build(**changes), 2)
    found = losses_of(build(**changes, **speedup), 2)
    for row, values in zip(found, expected):
        assert row == pytest.approx(values, rel=0.1)
    plain = losses_of(build(teacher_data_preprocessor=None), 1)
    assert plain[0]['distill.loss_kd'] != pytest.approx(
        expected[0]['distill.loss_kd'], rel=0.2
    )


def test_training_in_half_precision(build):
    algorithm = build(
        data_preprocessor=OURS,
        teacher_data_preprocessor=OWN,
        teacher_input_size=16,
    )
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = teacher_images(algorithm, make_batch()[0])
        assert recorded(algorithm)['logits'][0].dtype == torch.bfloat16
    assert found.dtype == torch.float32


def test_checkpoints_are_the_same(build):
    """Old ones load, and new ones load without it."""
    plain = build()
    state_dict = plain.state_dict()
    algorithm = build(teacher_data_preprocessor=OWN, teacher_input_size=32)
    assert list(algorithm.state_dict()) == list(state_dict)
    assert set(dict(algorithm.named_buffers())) == set(
        dict(plain.named_buffers())
    )
    algorithm.load_state_dict(state_dict)
    plain.load_state_dict(algorithm.state_dict())
    algorithm.check_teacher()
    averaged = ExponentialMovingAverage(algorithm, momentum=0.5)
    averaged.update_parameters(algorithm)
    assert list(averaged.module.state_dict()) == list(state_dict)
    copied = copy.deepcopy(algorithm.teacher_preprocessor)
    assert copied.size == (32, 32)


def test_bad_arguments_are_told_when_it_is_built(build):
    with pytest.raises(ValueError, match='as many values, but have 2 and 1'):
        build(teacher_data_preprocessor=dict(mean=[1.0, 2.0], std=[1.0]))
    with pytest.raises(ValueError, match='teacher_input_size should be a'):
        build(
            teacher_data_preprocessor=dict(_delete_=True, **OWN),
            teacher_input_size=0,
        )
