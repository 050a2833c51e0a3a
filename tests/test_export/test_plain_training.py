import pytest
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop

from mmdskd.export.student_config import make_student_config


def test_config_keeps_other_hooks_and_loops(kd_config):
    kd_config.custom_hooks = [
        dict(type='EMAHook'),
        dict(type='mmdskd.StudentCheckpointHook'),
        dict(type='mmpretrain.PreciseBNHook', num_samples=10),
        dict(type='StudentCheckpointHook', _scope_='mmdskd'),
        dict(type='mmrazor.StopDistillHook', stop_epoch=1),
        dict(type='StopDistillHook', _scope_='mmrazor', stop_epoch=1),
    ]
    kd_config.default_hooks.student = dict(
        type='mmdskd.LossWeightSchedulerHook'
    )
    kd_config.default_hooks.timer = None
    kd_config.val_cfg = dict(
        type='mmrazor.SingleTeacherDistillValLoop', fp16=True
    )
    kd_config.test_cfg = dict(type='mmengine.TestLoop')
    student = make_student_config(kd_config)
    assert [hook.type for hook in student.custom_hooks] == [
        'EMAHook',
        'mmpretrain.PreciseBNHook',
    ]
    assert student.default_hooks == dict(
        checkpoint=dict(type='CheckpointHook', interval=1), timer=None
    )
    assert student.val_cfg == dict(fp16=True)
    assert student.test_cfg == dict(type='mmengine.TestLoop')


def test_parameter_names_of_the_optimizer(kd_config):
    kd_config.optim_wrapper.paramwise_cfg = dict(
        custom_keys={
            'architecture.head': dict(lr_mult=2),
            'bn': dict(decay_mult=0),
        }
    )
    assert make_student_config(
        kd_config
    ).optim_wrapper.paramwise_cfg.custom_keys == {
        'head': dict(lr_mult=2),
        'bn': dict(decay_mult=0),
    }


@pytest.mark.parametrize(
    'train_cfg, expected, kind',
    [
        (
            dict(
                type='mmrazor.DartsEpochBasedTrainLoop',
                mutator_dataloader=dict(batch_size=2),
                max_epochs=3,
                val_begin=2,
            ),
            dict(type='EpochBasedTrainLoop', max_epochs=3, val_begin=2),
            EpochBasedTrainLoop,
        ),
        (
            dict(
                type='mmrazor.GreedySamplerTrainLoop',
                dataloader_val=dict(batch_size=2),
                evaluator=dict(type='mmpretrain.Accuracy'),
                max_iters=7,
                val_interval=5,
                num_candidates=10,
            ),
            dict(type='IterBasedTrainLoop', max_iters=7, val_interval=5),
            IterBasedTrainLoop,
        ),
        (
            dict(
                type='DartsIterBasedTrainLoop',
                _scope_='mmrazor',
                mutator_dataloader=dict(batch_size=2),
                max_iters=7,
            ),
            dict(type='IterBasedTrainLoop', max_iters=7),
            IterBasedTrainLoop,
        ),
        (
            # Its length is left out.
            dict(type='mmrazor.EvolutionSearchLoop', num_candidates=10),
            dict(type='EpochBasedTrainLoop', max_epochs=20),
            EpochBasedTrainLoop,
        ),
        (
            dict(by_epoch=False, max_iters=7),
            dict(by_epoch=False, max_iters=7),
            IterBasedTrainLoop,
        ),
        (
            dict(type='mmengine.IterBasedTrainLoop', max_iters=7),
            dict(type='mmengine.IterBasedTrainLoop', max_iters=7),
            IterBasedTrainLoop,
        ),
    ],
)
def test_loop_of_a_plain_network(
    kd_config, build_runner, train_cfg, expected, kind
):
    kd_config.train_cfg = train_cfg
    student = make_student_config(kd_config)
    assert student.train_cfg == expected
    student.work_dir = kd_config.work_dir
    runner = build_runner(student)
    assert type(runner.build_train_loop(student.train_cfg)) is kind


def test_loops_of_evaluation(kd_config, build_runner):
    """What MMRazor's take beside the plain ones is left out."""
    kd_config.val_cfg = dict(
        type='mmrazor.SubnetValLoop', calibrate_sample_num=8, fp16=True
    )
    kd_config.test_cfg = dict(
        type='mmrazor.SubnetValLoop', calibrate_sample_num=8
    )
    student = make_student_config(kd_config)
    assert student.val_cfg == dict(fp16=True)
    assert student.test_cfg == dict()
    student.work_dir = kd_config.work_dir
    build_runner(student).val()


def test_one_optimizer_of_several(kd_config):
    sgd = dict(optimizer=dict(type='SGD', lr=0.1))
    cosine = dict(type='CosineAnnealingLR', T_max=3)
    kd_config.optim_wrapper = dict(
        constructor='mmrazor.SeparateOptimWrapperConstructor',
        architecture=dict(
            sgd,
            paramwise_cfg=dict(
                custom_keys={'architecture.head': dict(lr_mult=2)}
            ),
        ),
        mutator=dict(optimizer=dict(type='Adam', lr=1e-3)),
    )
    kd_config.param_scheduler = dict(architecture=[cosine], mutator=[])
    student = make_student_config(kd_config)
    assert student.optim_wrapper == dict(
        sgd, paramwise_cfg=dict(custom_keys={'head': dict(lr_mult=2)})
    )
    assert student.param_scheduler == [cosine]


def test_search_leaves_no_training(kd_config, build_runner):
    kd_config.train_cfg = dict(
        type='mmrazor.AutoSlimGreedySearchLoop', target_flops=(1.0,)
    )
    student = make_student_config(kd_config)
    assert not {'train_dataloader', 'train_cfg', 'optim_wrapper'} & set(
        student
    )
    student.work_dir = kd_config.work_dir
    assert 'accuracy/top1' in build_runner(student).test()
