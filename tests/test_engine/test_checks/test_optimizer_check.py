import pytest

from mmdskd.engine.checks.optimizer_check import check_custom_keys


@pytest.fixture
def check(dskd_config, build_runner, monkeypatch):
    """Check keys; return the warnings."""

    def run(**wrapper):
        dskd_config.optim_wrapper.update(wrapper)
        runner = build_runner(dskd_config)
        found = []
        monkeypatch.setattr(runner.logger, 'warning', found.append)
        check_custom_keys(runner)
        return found

    return run


def keys(*names):
    return dict(
        paramwise_cfg=dict(
            custom_keys={name: dict(lr_mult=0.1) for name in names}
        )
    )


def test_keys_that_meet_parameters(check):
    assert check() == check(paramwise_cfg=dict(norm_decay_mult=0.0)) == []
    assert check(**keys('backbone', 'architecture.head.fc', 'heads.0')) == []


def test_keys_that_meet_none(check):
    found = check(**keys('backbone.layer1', 'backbone.leyer1', 'cls_token'))
    assert found == [
        "optim_wrapper.paramwise_cfg.custom_keys has 'backbone.leyer1', which "
        'is in the name of no parameter, so that it does nothing'
        + found[0].partition('nothing')[2],
        "optim_wrapper.paramwise_cfg.custom_keys has 'cls_token', which is in "
        'the name of no parameter, so that it does nothing',
    ]
    assert "did you mean 'architecture.backbone.layer1'" in found[0]


def test_a_runner_runs_it(dskd_config, build_runner, listen):
    dskd_config.optim_wrapper.update(keys('no_such_layer'))
    dskd_config.default_hooks.run_check = dict(type='mmdskd.RunCheckHook')
    dskd_config.train_cfg.max_epochs = 1
    runner = build_runner(dskd_config)
    logged = listen()
    runner.train()
    assert sum("has 'no_such_layer'" in line for line in logged) == 1
