from mmengine.config import Config

from mmdskd.pairing.algorithm_config import HOOKS
from mmdskd.pairing.inherited import list_unused, override_base
from mmdskd.pairing.source_config import SourceConfig


def source(name='net', **kwargs):
    return SourceConfig(name, f'{name}.py', Config(kwargs))


def override(student, teacher, data=None):
    found = override_base(student, teacher, data or student, 'a/mine.py')
    assert found.pop('custom_hooks')[-len(HOOKS) :] == list(HOOKS)
    return found


def test_nothing_to_override():
    assert override(source(), source()) == dict(
        custom_imports=dict(imports=['mmdskd'], allow_failed_imports=False)
    )


def test_modules_of_both_networks_are_imported():
    student = source(custom_imports=dict(imports='ours'))
    teacher = source(
        custom_imports=dict(
            imports=['theirs', 'ours'], allow_failed_imports=True
        )
    )
    for data, names in (
        (student, ['mmdskd', 'ours', 'theirs']),
        (teacher, ['mmdskd', 'theirs', 'ours']),
    ):
        assert override(student, teacher, data)['custom_imports'] == dict(
            imports=names, allow_failed_imports=True
        )


def test_what_is_of_another_run():
    student = source(work_dir='work_dirs/net', resume=True, load_from='a.pth')
    found = override(student, source())
    del found['custom_imports']
    # load_from is that of the _base_.
    assert found == dict(work_dir='work_dirs/mine', resume=False)


def test_weights_of_the_teacher_are_not_loaded_into_the_student():
    teacher = source(load_from='teacher.pth')
    assert override(source(), teacher, teacher)['load_from'] is None
    student = source(load_from='student.pth')
    assert override(student, teacher, teacher)['load_from'] == 'student.pth'


def test_hooks_of_the_data_are_kept():
    student = source(custom_hooks=[dict(type='EMAHook', momentum=1e-4)])
    found = override_base(student, source(), student, 'mine.py')
    assert found['custom_hooks'] == [
        dict(type='EMAHook', momentum=1e-4),
        *HOOKS,
    ]


def test_what_is_not_used():
    student = source(
        randomness=dict(seed=1),
        sync_bn='torch',
        env_cfg=dict(cudnn_benchmark=True),
        model=dict(type='A'),
        load_from='a.pth',
    )
    teacher = source(sync_bn='torch', randomness=dict(seed=2))
    assert list_unused(student, teacher) == ['env_cfg', 'randomness']
    assert list_unused(student, student) == []
