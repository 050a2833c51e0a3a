"""Keep nan and inf out of a training."""

from functools import partial
from typing import Any, Callable, ClassVar, Optional

from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.hooks import EMAHook, Hook, RuntimeInfoHook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import Runner
from torch import Tensor

from mmdskd.engine.distillation_parts import find_allocated_losses
from mmdskd.registry import HOOKS
from mmdskd.utils.finite import (
    log_nonfinite,
    nonfinite_tensors,
    nonfinite_text,
)
from mmdskd.utils.model import unwrap_model
from mmdskd.utils.rules import COUNT, Choice

from ..batch_text import describe_samples
from ..buffer_snapshot import BufferSnapshot
from ..checks.finite_check import check_finite, named_tensors
from ..checks.wrapper_check import check_wrapper
from ..step_guard import StepGuard, move_to_host

ACTIONS = ('skip', 'stop', 'continue')
#: What the log says of a step, by ``action``.
OUTCOMES = {
    'skip': 'The step is left out: all is as before the batch.',
    'stop': 'Training stops; all is as before the batch.',
    'continue': 'Training continues with it.',
}


@HOOKS.register_module()
class NonFiniteHook(Hook):
    """Keep nan and inf out of a training, and report them at once.

    One image with a nan would make all weights nan, for ever. So before each
    step of the optimizer, the hook looks at the losses, the gradients and the
    running statistics of batch norms. If one holds nan or inf, it logs an
    error that names losses, terms and branches, iteration and epoch, and the
    samples of the batch, and acts as ``action`` says.

    A step that is left out leaves no trace: weights, state of the optimizer,
    buffers of the model (running statistics, weights of the branches and what
    they are made of), averaged weights of :class:`mmengine.hooks.EMAHook` and
    the means of the losses in the log are as if the data loader had not had
    the batch. The iteration counts nevertheless: iterations, epochs,
    learning rate and intervals continue. Random numbers that were drawn for
    it stay drawn. With ``accumulative_counts``, a step is made of several
    iterations, and all are left out. In distributed training, the batches of
    all ranks are.

    Under automatic mixed precision, the gradient scaler leaves out steps by
    itself in search of its scale. That is not reported, unless a loss was not
    finite.

    Training never begins with weights, teacher or momentum that are not
    finite. If a validated model is not, its scores become nan, so that it is
    never the best; so do those of a test, and ``tools/test.py`` ends with an
    error. A checkpoint of such a model logs one.

    It costs one copy of the buffers and one look at the gradients per
    iteration. On a GPU, it waits once before the step, and reads all losses
    at once, so that MMEngine, which waits for each of them, need not.

    Args:
        action (str): ``skip``, ``stop`` or ``continue``. Defaults to 'skip'.
        max_in_a_row (int): Training stops after so many steps in a row that
            were left out, >= 1. Defaults to 10.

    Raises:
        ValueError: If ``action`` or ``max_in_a_row`` is none of these.

    Examples:
        >>> default_hooks = dict(
        ...     non_finite=dict(type='mmdskd.NonFiniteHook', action='stop'))
    """

    #: What the arguments should be.
    VALUES: ClassVar[dict[str, Any]] = dict(
        action=Choice(ACTIONS), max_in_a_row=COUNT
    )

    # Others see the iteration as this hook leaves it.
    priority = 'HIGHEST'

    def __init__(self, action: str = 'skip', max_in_a_row: int = 10) -> None:
        if self.VALUES['action'].error(action):
            raise ValueError(
                f'action of NonFiniteHook should be one of {ACTIONS}'
                f', but got {action!r}'
            )
        if self.VALUES['max_in_a_row'].error(max_in_a_row):
            raise ValueError(
                'max_in_a_row of NonFiniteHook should be a whole number >= 1'
                f', but got {max_in_a_row!r}'
            )
        self.action = action
        self.max_in_a_row = max_in_a_row
        self._num_found = self._num_in_a_row = 0
        # Of the iterations of a step on this rank: whether the cause may be
        # here, and the text.
        self._reports: list[tuple[bool, str]] = []

    def before_train(self, runner: Runner) -> None:
        """Check the weights, and look at each step from now on.

        Args:
            runner (Runner): The runner of the training process.

        Raises:
            TypeError: If the model is spread over the processes.
            ValueError: If weights or momentum hold nan or inf.
        """
        check_wrapper(runner.model)
        model = unwrap_model(runner.model)
        check_finite(model, runner.optim_wrapper)
        self._model = model
        self._losses = find_allocated_losses(model)
        self._snapshot = BufferSnapshot(model)
        # A resumed run may begin amid the iterations of a step.
        self._snapshot.take()
        self._guard = StepGuard(
            runner.optim_wrapper, model, self.action != 'continue'
        )
        self._guard.install()
        self._followers = [
            hook
            for hook in runner.hooks
            if isinstance(hook, (EMAHook, RuntimeInfoHook))
        ]
        for hook in self._followers:
            vars(hook)['after_train_iter'] = partial(
                self._unless_left_out, hook.after_train_iter
            )

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None
    ) -> None:
        """Remember the buffers.

        Args:
            runner (Runner): The runner of the training process.
            batch_idx (int): Index of the batch.
            data_batch (dict or tuple or list, optional): The batch.
        """
        if self._guard.begin():
            self._reports.clear()
            if self.action != 'continue':
                self._snapshot.take()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Report what was not finite, and put the buffers back.

        Args:
            runner (Runner): The runner of the training process.
            batch_idx (int): Index of the batch.
            data_batch (dict or tuple or list, optional): The batch.
            outputs (dict, optional): Losses by name.

        Raises:
            FloatingPointError: If training is to stop.
        """
        move_to_host(outputs)
        guard = self._guard
        found = guard.found
        if self.action == 'continue' or not guard.stepped:
            found = found or not guard.has_finite_losses()
        if found:
            self._reports.append(self._report(runner, data_batch, outputs))
            if self.action != 'continue':
                self._snapshot.restore()
        if guard.stepped:
            if found:
                self._act(runner)
            else:
                self._num_in_a_row = 0

    def after_train(self, runner: Runner) -> None:
        """Say how many steps were left out.

        Args:
            runner (Runner): The runner of the training process.
        """
        self._guard.remove()
        for hook in self._followers:
            del vars(hook)['after_train_iter']
        if self._num_found:
            runner.logger.warning(
                f'{self._num_found} steps with nan or inf were '
                f'{"left out" if self.action == "skip" else "done"}.'
            )

    def after_val_epoch(
        self, runner: Runner, metrics: Optional[dict] = None
    ) -> None:
        """Make the scores of a model nan that holds nan or inf, so that it is
        never the best.

        Args:
            runner (Runner): The runner of the validation process.
            metrics (dict, optional): Evaluation results, changed in place.
        """
        _spoil_scores(runner, 'The validated model', metrics)

    def after_test_epoch(
        self, runner: Runner, metrics: Optional[dict] = None
    ) -> None:
        """Make the scores of a tested model nan that holds nan or inf.

        Args:
            runner (Runner): The runner of the testing process.
            metrics (dict, optional): Evaluation results, changed in place.
        """
        _spoil_scores(runner, 'The tested model', metrics)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Log an error if a checkpoint holds nan or inf.

        Args:
            runner (Runner): The runner of the training process.
            checkpoint (dict): The checkpoint.
        """
        log_nonfinite('A checkpoint', checkpoint['state_dict'].items())

    def _unless_left_out(
        self, update: Callable, *args: Any, **kw: Any
    ) -> None:
        """Update averaged weights and logged losses, unless the step was left
        out."""
        if not self._guard.found or self.action == 'continue':
            update(*args, **kw)

    def _report(
        self, runner: Runner, data_batch: Any, outputs: Optional[dict]
    ) -> tuple[bool, str]:
        """Say what is not finite on this rank, and forget the losses."""
        names = [
            name
            for name, value in (outputs or {}).items()
            if isinstance(value, Tensor) and not value.isfinite().all()
        ]
        # The sum of the others.
        if len(names) > 1 and names[0] == 'loss':
            del names[0]
        for name, loss in self._losses.items():
            terms = '; '.join(
                f'term {term}: branch {", ".join(map(str, branches))}'
                for term, branches in loss.nonfinite_branches().items()
            )
            if terms:
                names = [n for n in names if n.rpartition('.')[2] != name]
                names.append(f'{name} ({terms})')
            if self.action != 'continue':
                loss.take_losses()
        if not names and not self._guard.has_finite_losses():
            names = ['running statistics of batch norm']
        rank = f'rank {get_rank()}, ' if get_world_size() > 1 else ''
        return bool(names), (
            f'{rank}iteration {runner.iter + 1}, epoch {runner.epoch + 1}: '
            f'{", ".join(names) or "gradients only, the losses are finite"}; '
            f'{describe_samples(data_batch)}'
        )

    def _act(self, runner: Runner) -> None:
        """Report, and stop if need be, on all ranks alike."""
        self._num_found += 1
        self._num_in_a_row += 1
        # With "continue", a loss does not reach the other ranks.
        everywhere = (
            [self._reports]
            if self.action == 'continue'
            else all_gather_object(self._reports)
        )
        reports = [report for rank in everywhere for report in rank]
        causes = [text for is_cause, text in reports if is_cause]
        causes = causes or [text for _, text in reports]
        text = f'nan or inf at {" | ".join(causes)}. '
        broken = nonfinite_tensors(named_tensors(self._model))
        skips = self.action == 'skip'
        if broken:
            text += (
                f'{nonfinite_text("The model", broken)} Resume from an '
                'earlier checkpoint, with a lower learning rate or other data.'
            )
        elif skips and self._num_in_a_row >= self.max_in_a_row:
            text += (
                f'Training stops: {self._num_in_a_row} steps in a row '
                '(max_in_a_row) were left out. Look at the data, the learning '
                'rate and the losses: the next batch will not help.'
            )
        else:
            text += OUTCOMES[self.action]
            skips = False
        if skips or self.action == 'stop':
            raise FloatingPointError(text)
        if self._num_in_a_row <= self.max_in_a_row:
            runner.logger.error(text)


def _spoil_scores(runner: Runner, owner: str, metrics: Optional[dict]) -> None:
    """Log an error, and make all scores nan, if the model holds nan or inf."""
    model = unwrap_model(runner.model)
    if metrics and log_nonfinite(owner, named_tensors(model)):
        metrics.update(dict.fromkeys(metrics, float('nan')))
