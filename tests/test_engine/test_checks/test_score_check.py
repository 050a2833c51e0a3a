import pytest
from mmengine.optim import ReduceOnPlateauLR
from torch import nn, optim

from mmdskd.engine.checks.score_check import check_directions, check_scores


@pytest.fixture
def check(kd_config, build_runner):
    def run(save_best='accuracy/top1', evaluator=None, hooks=()):
        kd_config.default_hooks.checkpoint.save_best = save_best
        kd_config.default_hooks.checkpoint.rule = 'greater'
        kd_config.custom_hooks = list(hooks)
        if evaluator is not None:
            kd_config.val_evaluator = evaluator
        check_scores(build_runner(kd_config))

    return run


ACCURACY = dict(type='mmpretrain.Accuracy', topk=(1, 5))
F1 = dict(type='mmpretrain.SingleLabelMetric')


@pytest.mark.parametrize(
    'save_best, evaluator',
    [
        ('accuracy/top1', None),
        ('auto', None),
        (None, None),
        (['accuracy/top1', 'accuracy/top5'], ACCURACY),
        ('accuracy/top1_thr-0.50', dict(ACCURACY, topk=1, thrs=(0.5, None))),
        ('accuracy/top1_no-thr', dict(ACCURACY, topk=1, thrs=(0.5, None))),
        ('single-label/f1-score', [ACCURACY, F1]),
    ],
)
def test_scores_that_are_computed(check, save_best, evaluator):
    check(save_best, evaluator)


@pytest.mark.parametrize(
    'save_best, evaluator, message',
    [
        (
            'acuracy/top1',
            None,
            'save_best of CheckpointHook should be a score that val_evaluator '
            "computes (accuracy/top1), but got 'acuracy/top1'; did you mean "
            "'accuracy/top1'?",
        ),
        (
            ['accuracy/top1', 'accuracy/top3'],
            ACCURACY,
            '(accuracy/top1, accuracy/top5), but got',
        ),
        ('single-label/f1-score', None, "but got 'single-label/f1-score'"),
        ('multi-label/mAP', [ACCURACY, F1], 'accuracy/top5, single-label/...'),
    ],
)
def test_scores_that_are_not(check, save_best, evaluator, message):
    with pytest.raises(ValueError) as error:
        check(save_best, evaluator)
    assert message in str(error.value)


def test_early_stopping_on_no_score(check):
    hook = dict(type='EarlyStoppingHook', monitor='accuracy/top2')
    with pytest.raises(ValueError, match='monitor of EarlyStoppingHook'):
        check(hooks=[hook])
    check(hooks=[dict(hook, monitor='accuracy/top1')])


def test_scores_of_branches_pass(check):
    check(
        'dskd.branch_0/accuracy/top1',
        hooks=[dict(type='mmdskd.BranchEvaluationHook')],
    )


@pytest.mark.parametrize('is_named', [False, True])
def test_a_schedule_follows_a_score(kd_config, build_runner, is_named):
    runner = build_runner(kd_config)
    optimizer = optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1)

    def follow(score):
        found = [ReduceOnPlateauLR(optimizer, monitor=score, rule='greater')]
        runner.param_schedulers = dict(a=found) if is_named else found
        check_scores(runner)

    follow('accuracy/top1')
    with pytest.raises(ValueError) as error:
        follow('accuracy')
    assert str(error.value).startswith(
        'monitor of ReduceOnPlateauLR should be a score that val_evaluator '
        "computes (accuracy/top1), but got 'accuracy'"
    )


@pytest.mark.parametrize(
    'score, rule, right',
    [
        ('accuracy/top1', 'less', 'greater'),
        ('accuracy/top1', 'greater', None),
        ('single-label/f1-score', 'less', 'greater'),
        ('val/loss', 'greater', 'less'),
        ('my/score', 'less', None),  # not known
    ],
)
def test_rules_by_which_the_worst_is_the_best(
    kd_config, build_runner, monkeypatch, score, rule, right
):
    checkpoint = kd_config.default_hooks.checkpoint
    checkpoint.save_best, checkpoint.rule = score, rule
    kd_config.custom_hooks = [
        dict(type='EarlyStoppingHook', monitor=score, rule=rule)
    ]
    runner = build_runner(kd_config)
    runner.param_schedulers = [
        ReduceOnPlateauLR(
            optim.SGD(nn.Linear(1, 1).parameters(), 0.1), score, rule=rule
        )
    ]
    found = []
    monkeypatch.setattr(runner.logger, 'warning', found.append)
    check_directions(runner)
    assert sorted(found) == [
        f'{key} is {score}, of which the {right} one is better, but its rule '
        f'is {rule!r}: set rule={right!r}.'
        for key in (
            'monitor of EarlyStoppingHook',
            'monitor of ReduceOnPlateauLR',
            'save_best of CheckpointHook',
        )
        if right
    ]


def test_without_a_score(kd_config, build_runner):
    check_directions(build_runner(kd_config))
