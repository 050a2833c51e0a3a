"""A loss without its hook, and a hook without its loss."""

import pytest

from mmdskd.engine.checks.missing_parts_check import check_hooks
from mmdskd.engine.checks.run_check import check_before_training, check_run

HOOK = dict(type='mmdskd.LossWeightSchedulerHook')


def test_a_loss_without_a_hook_is_reported(run_config, build_runner, listen):
    run_config.custom_hooks = []
    runner = build_runner(run_config)
    messages = listen()
    check_hooks(runner)
    assert messages == [
        'WARNING: loss_dskd: no LossWeightSchedulerHook in custom_hooks, so '
        'all branches keep the weight 1 and are not logged. Add '
        "dict(type='mmdskd.LossWeightSchedulerHook'), with "
        "strategy='uniform' if weights of 1 are meant."
    ]


def test_it_is_reported_once(run_config, build_runner, listen):
    run_config.custom_hooks = []
    runner = build_runner(run_config)
    messages = listen()
    check_run(runner)
    check_before_training(runner)
    assert sum('no LossWeightSchedulerHook' in m for m in messages) == 1


@pytest.mark.parametrize(
    'hook', [HOOK, dict(HOOK, loss='loss_dskd', strategy='uniform')]
)
def test_a_loss_with_a_hook_passes(run_config, build_runner, listen, hook):
    run_config.custom_hooks = [hook]
    run_config.model.distiller.distill_losses.loss_dskd.schedule = 'cosine'
    runner = build_runner(run_config)
    messages = listen()
    check_hooks(runner)
    assert messages == []


@pytest.mark.parametrize(
    'schedule, kind', [('linear', 'linear'), (dict(stop=0.5), 'constant')]
)
def test_a_schedule_without_a_hook_is_refused(
    run_config, build_runner, schedule, kind
):
    run_config.custom_hooks = []
    run_config.model.distiller.distill_losses.loss_dskd.schedule = schedule
    with pytest.raises(ValueError) as error:
        check_hooks(build_runner(run_config))
    assert str(error.value) == (
        'custom_hooks should have a LossWeightSchedulerHook for loss_dskd, '
        f'which tells its schedule={kind!r} the progress of the training, but '
        "have none: add dict(type='mmdskd.LossWeightSchedulerHook', "
        "loss='loss_dskd')"
    )


def test_a_hook_for_a_loss_that_is_not_there_is_refused(
    run_config, build_runner
):
    run_config.custom_hooks = [dict(HOOK, loss='loss_dsk')]
    with pytest.raises(KeyError, match="loss='loss_dsk' is not a DSKD loss"):
        check_hooks(build_runner(run_config))


def test_a_hook_without_any_dskd_is_refused(kd_config, build_runner):
    kd_config.custom_hooks = [HOOK]
    with pytest.raises(KeyError, match='has no mmdskd.DSKDLoss'):
        check_hooks(build_runner(kd_config))
