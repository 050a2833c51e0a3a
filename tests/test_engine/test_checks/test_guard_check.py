import pytest

from mmdskd.engine.checks.run_check import check_run
from mmdskd.engine.default_hooks import DEFAULT_HOOKS, add_default_hooks


@pytest.mark.parametrize('name', list(DEFAULT_HOOKS))
def test_a_guard_that_is_there_twice(run_config, build_runner, name):
    kind = DEFAULT_HOOKS[name]['type']
    run_config.default_hooks[name] = dict(type=kind)
    run_config.custom_hooks.append(dict(type=kind))
    with pytest.raises(ValueError) as error:
        check_run(build_runner(run_config))
    assert str(error.value) == (
        f'{kind} should be among the hooks once, but got it 2 times: set its '
        f'arguments in default_hooks.{name}, and leave it out of custom_hooks'
    )


@pytest.mark.parametrize('name', list(DEFAULT_HOOKS))
def test_a_guard_among_the_custom_hooks_is_not_added(kd_config, name):
    kind = DEFAULT_HOOKS[name]['type']
    kd_config.pop('default_hooks', None)
    kd_config.custom_hooks = [dict(type=kind)]
    add_default_hooks(kd_config)
    assert set(DEFAULT_HOOKS) - set(kd_config.default_hooks) == {name}
    assert kd_config.custom_hooks == [dict(type=kind)]
