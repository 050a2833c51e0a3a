import re

import pytest
import torch

from mmdskd.engine.checks.pretrained_check import check_pretrained
from mmdskd.engine.checks.run_check import check_run


@pytest.fixture
def check(dskd_config, build_runner, monkeypatch, tmp_path):
    """Check a student that starts from a file; return the warnings."""

    def run(weights, check=check_pretrained, part='backbone', **init):
        path = tmp_path / 'weights.pth'
        if weights is not None:
            torch.save(weights, path)
        student = dskd_config.model.architecture
        (student if part is None else student[part]).init_cfg = dict(
            type='Pretrained', checkpoint=str(path), **init
        )
        dskd_config.train_cfg.max_epochs = 1
        dskd_config.model.type = 'mmdskd.FrozenTeacherDistill'
        dskd_config.model.teacher_ckpt = None
        runner = build_runner(dskd_config)
        found = []
        monkeypatch.setattr(runner.logger, 'warning', found.append)
        check(runner)
        return found, runner

    return run


@pytest.fixture
def student(dskd_config, build_runner):
    """Weights of a student of other values."""
    network = build_runner(dskd_config).model.architecture
    return {
        name: torch.full_like(value, 0.25)
        for name, value in network.state_dict().items()
    }


def test_weights_that_fit(check, student):
    found, runner = check(dict(state_dict=student), prefix='backbone')
    assert found == []
    network = runner.model.architecture
    before = network.backbone.conv1.weight.clone()
    # The check has loaded nothing; the training does.
    assert not torch.equal(before, student['backbone.conv1.weight'])
    runner.train_loop.run = lambda: None
    runner.train()
    assert torch.equal(
        network.backbone.conv1.weight, student['backbone.conv1.weight']
    )
    assert not torch.equal(network.head.fc.weight, student['head.fc.weight'])


def test_files_of_a_data_parallel_training(check, student):
    weights = {f'module.{name}': value for name, value in student.items()}
    assert check(weights, part=None)[0] == []


def test_a_head_of_other_classes(check, student):
    student['head.fc.weight'] = torch.zeros(1000, 16)
    del student['head.fc.bias']
    [message], _ = check(student, part=None)
    count = sum(value.is_floating_point() for value in student.values()) + 1
    assert message == (
        f'model.architecture.init_cfg loads {count - 2} of {count} tensors '
        'of model.architecture from '
        + re.search(r'from (\S+);', message)[1]
        + '; as they are initialised stay head.fc.weight, head.fc.bias. This '
        'is meant for a head of other classes, and for nothing else.'
    )


@pytest.mark.parametrize(
    'rename, init, message',
    [
        (
            str,
            {},
            'The file has backbone.conv1.weight, backbone.bn1.weight, '
            'backbone.bn1.bias and 53 more; wanted are conv1.weight, '
            "bn1.weight, bn1.bias and 42 more. Set prefix='backbone'.",
        ),
        (
            'architecture.{}'.format,
            dict(prefix='architecture'),
            "Set prefix='architecture.backbone'.",
        ),
        (lambda name: f'x{name}x', {}, 'Is it the file of another network?'),
        (
            str,
            dict(prefix='encoder'),
            'model.architecture.backbone.init_cfg.prefix should be the start '
            'of names in',
        ),
    ],
)
def test_weights_that_are_never_loaded(check, student, rename, init, message):
    weights = {rename(name): value for name, value in student.items()}
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        check(weights, **init)
    assert 'model.architecture.backbone.init_cfg' in str(error.value)


def test_a_missing_file_is_named(check, tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match='model.architecture.backbone.init_cfg.checkpoint should be a '
        f"file or a URL, but there is no file '{tmp_path}/weights.pth'",
    ):
        check(None, check_run, prefix='backbone')


def test_other_initialisers_and_loaded_teachers_are_left_alone(
    dskd_config, build_runner
):
    student, teacher = (
        dskd_config.model[role] for role in ('architecture', 'teacher')
    )
    student.backbone.init_cfg = [dict(type='Kaiming', layer='Conv2d')]
    teacher.backbone.init_cfg = dict(type='Pretrained', checkpoint='no.pth')
    runner = build_runner(dskd_config)
    runner.model.teacher._is_init = True  # as MMRazor sets it
    check_pretrained(runner)


def test_a_runner_alone_runs_all_checks(dskd_config, build_runner, tmp_path):
    """By RunCheckHook, before the weights are initialised."""
    path = tmp_path / 'other.pth'
    torch.save({'x.weight': torch.ones(1)}, path)
    dskd_config.default_hooks.run_check = dict(type='mmdskd.RunCheckHook')
    dskd_config.model.type = 'mmdskd.FrozenTeacherDistill'
    dskd_config.model.teacher_ckpt = None
    backbone = dskd_config.model.architecture.backbone
    backbone.init_cfg = dict(type='Pretrained', checkpoint=str(path))
    with pytest.raises(
        ValueError, match=r'model\.architecture\.backbone\.init_cfg should'
    ):
        build_runner(dskd_config).train()


def test_a_teacher_that_does_not_fit_without_the_tool(
    dskd_config, build_runner, tmp_path
):
    """MMRazor loads what fits, and only warns."""
    path = tmp_path / 'teacher.pth'
    runner = build_runner(dskd_config)
    weights = runner.model.teacher.state_dict()
    del weights['head.fc.bias']
    torch.save(weights, path)
    dskd_config.default_hooks.run_check = dict(type='mmdskd.RunCheckHook')
    dskd_config.model.teacher_ckpt = str(path)
    with pytest.raises(ValueError, match=r'head\.fc\.bias'):
        build_runner(dskd_config).train()
