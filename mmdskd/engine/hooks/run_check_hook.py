"""Check a run before its first iteration."""

from typing import Optional

from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop

from mmdskd.registry import HOOKS

from ..checks.label_check import Classes, check_batch_labels
from ..checks.run_check import check_by_hook, check_run


@HOOKS.register_module()
class RunCheckHook(Hook):
    """Check model, data and distillation of a run before it trains.

    What only tensors show is found on two training images, which run through
    student, teacher and losses: indices of mappings that are out of range,
    labels that are taken for logits, a loss that trains nothing. Everything
    is left as it was, random numbers included. See
    :func:`~mmdskd.engine.checks.run_check.check_before_training`.

    The labels of all batches are checked, too, where a data set does not tell
    them without its images, or has more than 50,000.

    Examples:
        >>> default_hooks = dict(run_check=dict(type='mmdskd.RunCheckHook'))
    """

    priority = 'VERY_HIGH'  # before a teacher is evaluated for minutes

    def __init__(self) -> None:
        self._classes: Optional[Classes] = None

    def before_run(self, runner: Runner) -> None:
        """Check a training before its weights are initialised.

        Args:
            runner (Runner): The runner.

        Raises:
            ValueError: See :func:`~.run_check.check_run`.
        """
        if isinstance(runner, Runner) and isinstance(
            runner._train_loop, BaseLoop
        ):
            check_run(runner)

    def before_train(self, runner: Runner) -> None:
        """Check the run.

        Args:
            runner (Runner): The runner of the training process.

        Raises:
            ValueError: See the checks that are called here.
        """
        self._classes = check_by_hook(runner)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None
    ) -> None:
        """Check labels that could not be checked before.

        Raises:
            ValueError: If a label is not a class of the network.
        """
        if self._classes is not None:
            check_batch_labels(data_batch, self._classes)
