"""Check that settings of single parameters meet parameters."""

from collections.abc import Mapping

from mmengine.runner import Runner

from mmdskd.utils.model import unwrap_model
from mmdskd.utils.spelling import did_you_mean


def check_custom_keys(runner: Runner) -> None:
    """Warn of ``custom_keys`` that are in the name of no parameter.

    MMEngine leaves them out without a word. In an algorithm, the parameters
    of the student begin with "architecture.".

    Args:
        runner (Runner): The runner of the training process.
    """
    wrapper = runner.cfg.get('optim_wrapper')
    settings = wrapper.get('paramwise_cfg') if wrapper else None
    keys = settings.get('custom_keys') if settings else None
    if not isinstance(keys, Mapping):
        return
    names = [name for name, _ in unwrap_model(runner.model).named_parameters()]
    parts = {
        '.'.join(steps[:depth])
        for steps in [name.split('.') for name in names]
        for depth in range(1, len(steps) + 1)
        if steps[0] != 'teacher'
    }
    for key in keys:
        if not any(key in name for name in names):
            runner.logger.warning(
                f'optim_wrapper.paramwise_cfg.custom_keys has {key!r}, which '
                'is in the name of no parameter, so that it does nothing'
                f'{did_you_mean(key, parts)}'
            )
