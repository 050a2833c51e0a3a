"""Check that each hook that guards a run is there once."""

from mmengine.runner import Runner

from mmdskd.engine.default_hooks import DEFAULT_HOOKS


def check_guards(runner: Runner) -> None:
    """Check that no hook that guards a run is there twice.

    Args:
        runner (Runner): The runner.

    Raises:
        ValueError: If one is.
    """
    kinds = [type(hook).__name__ for hook in runner.hooks]
    for name, hook in DEFAULT_HOOKS.items():
        number = kinds.count(hook['type'].rpartition('.')[2])
        if number > 1:
            raise ValueError(
                f'{hook["type"]} should be among the hooks once, but got it '
                f'{number} times: set its arguments in default_hooks.{name}, '
                'and leave it out of custom_hooks'
            )
