"""Teachers that can't teach, or were made for other images."""

import pytest
import torch

from mmdskd.engine.checks.run_check import check_before_training, check_run
from mmdskd.engine.checks.teacher_check import check_teachers

RANDOM = (
    'WARNING: model.teacher has random weights: what it teaches is noise. Set '
    'model.teacher_ckpt to the checkpoint of a trained teacher, or its '
    "init_cfg to dict(type='Pretrained', checkpoint=...)."
)


@pytest.fixture
def warnings(run_config, build_runner, listen):
    """Warnings of teachers with a changed config."""

    def run(changes=()):
        run_config.merge_from_dict(dict(changes))
        runner = build_runner(run_config)
        messages = listen()
        check_teachers(runner)
        return [m for m in messages if m.startswith('WARNING')]

    return run


@pytest.mark.parametrize(
    'algorithm',
    ['mmdskd.FrozenTeacherDistill', 'mmrazor.SingleTeacherDistill'],
)
def test_random_weights_are_reported(warnings, algorithm):
    assert warnings({'model.type': algorithm}) == [RANDOM]
    assert warnings(
        {'model.teacher.init_cfg': dict(type='Kaiming', layer='Conv2d')}
    ) == [RANDOM]


def test_other_weights_are_not(warnings, run_config, build_runner, tmp_path):
    path = str(tmp_path / 'teacher.pth')
    torch.save(build_runner(run_config).model.teacher.state_dict(), path)
    pretrained = dict(type='Pretrained', checkpoint=path)
    assert warnings({'model.teacher.init_cfg': pretrained}) == []
    run_config.model.teacher.pop('init_cfg')
    backbone = dict(pretrained, prefix='backbone.')
    assert warnings({'model.teacher.backbone.init_cfg': [backbone]}) == []
    run_config.model.teacher.backbone.pop('init_cfg')
    assert warnings({'model.teacher_ckpt': path}) == []
    run_config.model.teacher_ckpt = None
    assert warnings({'load_from': path}) == []
    run_config.load_from = None
    assert warnings() == [RANDOM]


def test_a_teacher_that_learns_may_start_from_random_weights(warnings):
    assert (
        warnings(
            {
                'model.type': 'mmrazor.SingleTeacherDistill',
                'model.teacher_trainable': True,
            }
        )
        == []
    )


@pytest.mark.parametrize('value', ['nan', 'inf', '-inf'])
@pytest.mark.parametrize(
    'algorithm',
    ['mmdskd.FrozenTeacherDistill', 'mmrazor.SingleTeacherDistill'],
)
def test_nan_and_inf_are_refused(
    run_config, build_runner, tmp_path, algorithm, value
):
    run_config.model.type = algorithm
    teacher = build_runner(run_config).model.teacher
    teacher.head.fc.weight.data[0, 0] = float(value)
    teacher.backbone.bn1.running_var[0] = float(value)
    path = str(tmp_path / 'teacher.pth')
    torch.save(teacher.state_dict(), path)
    run_config.model.teacher_ckpt = path
    runner = build_runner(run_config)
    with pytest.raises(ValueError) as error:
        check_before_training(runner)
    assert str(error.value) == (
        'All tensors of model.teacher should be finite, but 2 have nan or '
        'inf: head.fc.weight, backbone.bn1.running_var. Its checkpoint is of '
        'a training that failed: take an earlier one'
    )


def test_a_mask_of_inf_is_no_fault(run_config, build_runner):
    runner = build_runner(run_config)
    mask = torch.full((2, 2), -torch.inf).triu(1)
    runner.model.teacher.register_buffer('mask', mask)
    check_teachers(runner)


def test_a_teacher_made_for_other_images_is_reported(warnings, run_config):
    run_config.model.teacher_ckpt = None
    theirs = dict(
        type='mmpretrain.ClsDataPreprocessor', mean=[77.7], std=[33.3]
    )
    assert warnings({'model.teacher.data_preprocessor': theirs}) == [RANDOM]
    found = warnings(
        {
            'model.teacher.data_preprocessor.mean': [1.0],
            'model.teacher.data_preprocessor.to_rgb': True,
        }
    )
    assert found == [
        'WARNING: model.teacher.data_preprocessor is not used: student and '
        'teacher get the images of one data_preprocessor, which differs in '
        'mean ([77.7], of the teacher [1.0]), to_rgb (False, of the teacher '
        'True). Set model.teacher_data_preprocessor to that of the teacher.',
        RANDOM,
    ]
    # The same where it is set.
    given = dict(mean=[1.0], std=[33.3], to_rgb=True)
    assert warnings({'model.teacher_data_preprocessor': given}) == [RANDOM]
    found = warnings({'model.teacher_data_preprocessor.mean': [2.0]})
    assert found[0] == (
        'WARNING: model.teacher.data_preprocessor is not used: '
        'model.teacher_data_preprocessor is, which differs in mean ([2.0], of '
        'the teacher [1.0]). Set model.teacher_data_preprocessor to that of '
        'the teacher.'
    )
    del run_config.model['teacher_data_preprocessor']
    found = warnings({'model.type': 'mmrazor.SingleTeacherDistill'})
    assert found[0].endswith(
        "Set model.type='mmdskd.FrozenTeacherDistill', and "
        'model.teacher_data_preprocessor to that of the teacher.'
    )


def test_a_pretrained_teacher_that_says_its_images(
    run_config, build_runner, listen
):
    """As those of timm do."""
    runner = build_runner(run_config)
    runner.cfg.model.teacher.pretrained = True
    teacher = runner.model.teacher
    teacher.pretrained_cfg = dict(mean=(0.5,), std=(0.5,))
    messages = listen()
    check_teachers(runner)
    assert messages == [
        'WARNING: model.teacher was pretrained on other images, as its '
        'pretrained_cfg of timm says: data_preprocessor differs in mean '
        '([77.7], of the teacher [127.5]), std ([33.3], of the teacher '
        '[127.5]). Set model.teacher_data_preprocessor to that of the '
        'teacher.'
    ]
    messages.clear()
    runner.cfg.model.teacher_data_preprocessor = dict(mean=[1.0], std=[1.0])
    check_teachers(runner)
    del runner.cfg.model['teacher_data_preprocessor']
    runner.cfg.model.teacher_ckpt = 'of_a_training.pth'
    check_teachers(runner)
    assert messages == []


def test_a_loop_that_runs_the_teacher(run_config, build_runner):
    run_config.val_cfg = dict(type='mmrazor.SingleTeacherDistillValLoop')
    check_teachers(build_runner(run_config))
    run_config.model.teacher_data_preprocessor = dict(mean=[1.0], std=[2.0])
    with pytest.raises(
        ValueError,
        match='val_cfg.type should be ValLoop .*TeacherEvaluationHook eval',
    ):
        check_teachers(build_runner(run_config))


def test_teacher_of_mmrazor_is_loaded_whole(
    run_config, build_runner, tmp_path
):
    path = str(tmp_path / 'teacher.pth')
    run_config.model.type = 'mmrazor.SingleTeacherDistill'
    state_dict = build_runner(run_config).model.teacher.state_dict()
    torch.save(state_dict, path)
    run_config.model.teacher_ckpt = path
    runner = build_runner(run_config)
    name = 'head.fc.bias'
    runner.model.teacher.state_dict()[name].zero_()
    check_run(runner)
    assert torch.equal(
        runner.model.teacher.state_dict()[name], state_dict[name]
    )

    del state_dict[name]
    torch.save(state_dict, path)
    with pytest.raises(ValueError, match=f'teacher_ckpt.*missing: {name}'):
        check_run(build_runner(run_config))
