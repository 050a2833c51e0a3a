"""Write the weights of the branches in training."""

from collections.abc import Sequence
from typing import Any, ClassVar, Optional

from mmengine.hooks import Hook, LoggerHook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import IterBasedTrainLoop, Runner
from mmrazor.engine import StopDistillHook
from torch import nn

from mmdskd.engine.distillation_parts import find_dskd_losses, find_recorders
from mmdskd.models.losses.allocated_loss import collect_losses
from mmdskd.models.task_modules.loss_weight_strategies.build import (
    StrategyConfig,
    build_strategies,
)
from mmdskd.registry import HOOKS
from mmdskd.utils.model import unwrap_model
from mmdskd.utils.values import check_values

from ..checks.run_check import check_by_hook
from ..loss_log import LOG_KEY, LossLog
from ..loss_ramps import LossRamps
from ..scheduler_arguments import VALUES, check_acts, check_together, rename


@HOOKS.register_module()
class LossWeightSchedulerHook(Hook):
    """Loss-based weight allocation over the branches of DSKD, as a scheduler.

    After each training iteration it takes in the losses of the branches, as
    they are before their ``loss_weight``, and every ``interval`` it writes
    the weights of each term: the mean of the losses over the interval and
    over all ranks, smoothed by an exponential moving average, goes through
    ``strategy``. The weights act from the next iteration on; with
    ``interval=1`` and ``ema_decay=0`` they are thus those of the previous
    iteration's losses. They are the same on every rank. An iteration with a
    loss that is not finite is left out, with one warning.

    All state is in the buffers of :class:`~mmdskd.models.DSKDLoss`: it is
    restored on resume, and reset when a run starts at iteration 0, also from
    loaded weights.

    Whenever MMEngine's ``LoggerHook`` logs, these scalars go to all its
    backends, for a loss named ``loss_dskd`` and branch 0 of the term
    ``logit``:

    - ``dskd.logit_0``: loss before weights, mean since the last log;
    - ``dskd.weight_logit_0``: weight;
    - ``dskd.ramp``: factor on the whole, if there is a ``loss_warmup`` or a
      ``schedule`` of the loss, which this hook tells the progress of the
      training.

    It waits for the device only then. Before training, it checks that
    recorder, connector and loss fit, and after each iteration it lets go of
    what the recorders of the model hold, MMRazor's included.

    Each loss takes one hook. If an iteration runs a loss several times, as
    ``AutoSlim`` does, the mean counts.

    Args:
        loss (str, optional): Name of the :class:`~mmdskd.models.DSKDLoss` in
            ``distill_losses``. None means each one of the model. Defaults to
            None.
        strategy (str, dict or BaseLossWeightStrategy): Name of a strategy:
            ``softmax``, ``proportional``, ``inverse``, ``uniform``, ``dwa``,
            or one registered in ``TASK_UTILS``; or its config, e.g.
            ``dict(type='softmax', temperature=0.5)``; or the object; or one
            per term, e.g. ``dict(logit='softmax', feat='uniform')``, where a
            term that is left out is ``uniform``. Defaults to 'softmax'.
        ema_decay (float): Share of the old losses in the smoothed ones, in
            [0, 1), per update. Defaults to 0.9.
        interval (int): Iterations or epochs between updates, >= 1. Defaults
            to 1.
        by_epoch (bool): Whether ``interval``, ``begin``, ``end``,
            ``weight_warmup`` and ``loss_warmup`` count epochs, else
            iterations. Defaults to False.
        begin (int): When the allocation begins; the weights are 1 before.
            Defaults to 0.
        end (int, optional): When it ends; the weights stay as they are then.
            None means never. Defaults to None.
        weight_warmup (int, optional): Length of the linear change from
            weights of 1 to those of the strategy, counted from ``begin``.
            Defaults to 0.
        loss_warmup (int, optional): Length of a linear rise of the whole DSKD
            loss from 0, counted from the start of training. Defaults to 0.
        warmup (int, optional): Old name of ``weight_warmup``, deprecated.
        ramp (int, optional): Old name of ``loss_warmup``, deprecated.

    Raises:
        KeyError: If there is no strategy of that name.
        TypeError: If ``strategy`` is not one.
        ValueError: If a number is out of its range, or given by its old and
            its new name.

    Examples:
        >>> custom_hooks = [
        ...     dict(
        ...         type='mmdskd.LossWeightSchedulerHook', loss='loss_dskd',
        ...         strategy=dict(type='softmax', temperature=0.5))]
    """

    #: What the arguments should be.
    VALUES: ClassVar[dict[str, Any]] = VALUES

    priority = 'NORMAL'  # before LoggerHook

    def __init__(
        self,
        loss: Optional[str] = None,
        strategy: StrategyConfig = 'softmax',
        ema_decay: float = 0.9,
        interval: int = 1,
        by_epoch: bool = False,
        begin: int = 0,
        end: Optional[int] = None,
        weight_warmup: Optional[int] = None,
        loss_warmup: Optional[int] = None,
        *,
        warmup: Optional[int] = None,
        ramp: Optional[int] = None,
    ) -> None:
        weight_warmup = rename(
            'warmup', warmup, 'weight_warmup', weight_warmup
        )
        loss_warmup = rename('ramp', ramp, 'loss_warmup', loss_warmup)
        check_values(
            'LossWeightSchedulerHook',
            self.VALUES,
            dict(
                loss=loss,
                ema_decay=ema_decay,
                interval=interval,
                by_epoch=by_epoch,
                begin=begin,
                end=end,
                weight_warmup=weight_warmup,
                loss_warmup=loss_warmup,
            ),
        )
        check_together(dict(begin=begin, end=end))
        self.loss = loss
        self.strategy = strategy
        self.strategies = build_strategies(strategy)
        self.ema_decay = ema_decay
        self.interval = interval
        self.by_epoch = by_epoch
        self._saved_log: dict[str, dict[str, list]] = {}
        self.begin = begin
        self.end = end
        self.weight_warmup = weight_warmup
        self.loss_warmup = loss_warmup

    #: What checks arguments that depend on one another.
    check_together = staticmethod(check_together)

    def before_train(self, runner: Runner) -> None:
        """Find the losses and recorders of the model, check that they fit,
        and start anew unless the run is resumed.

        Raises:
            KeyError: If ``loss`` is not a DSKD loss of the model.
            ValueError: If the parts of the distillation do not fit, another
                hook writes the weights of the same loss, ``by_epoch`` is set
                in training by iterations, or ``StopDistillHook`` serves an
                algorithm that does not know it, or would break distributed
                training, or warm-up and schedule leave nothing of a loss, or
                the weights would not be written before the training ends.
        """
        if self.by_epoch and isinstance(runner.train_loop, IterBasedTrainLoop):
            raise ValueError(
                'by_epoch=True needs training by epochs, but '
                'train_cfg counts iterations'
            )
        model = unwrap_model(runner.model)
        self._losses = find_dskd_losses(model, self.loss)
        self._check_alone(model, runner.hooks)
        check_by_hook(runner)
        if any(isinstance(hook, StopDistillHook) for hook in runner.hooks):
            if not hasattr(model, 'distillation_stopped'):
                raise ValueError(
                    f'{type(model).__name__} can not be stopped to distil: '
                    'remove StopDistillHook'
                )
            if not getattr(runner.model, 'find_unused_parameters', True):
                raise ValueError(
                    'StopDistillHook leaves the heads without gradient, which '
                    'distributed training refuses: set '
                    'find_unused_parameters = True in the config'
                )
        self._recorders = find_recorders(model)
        self._log_intervals = [
            hook.interval
            for hook in runner.hooks
            if isinstance(hook, LoggerHook)
        ]
        for loss in self._losses.values():
            if runner.iter == 0:
                loss.reset()
            loss.take_losses()  # of what ran before the training
            # A resumed run may have another warm-up or schedule.
            loss.ramp.fill_(1)
        self._ramps = LossRamps(self._losses, self.loss_warmup, self.by_epoch)
        self._ramps.check(runner)
        length = runner.max_epochs if self.by_epoch else runner.max_iters
        check_acts(self.begin, self.interval, length)
        self._loss_log = LossLog(self._losses, self._ramps.scaled)
        _, self._nonfinite = self._loss_log.read()
        self._loss_log.set_state(self._saved_log)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Save what was not logged yet."""
        state = checkpoint.setdefault(LOG_KEY, {})
        state.update(self._loss_log.get_state())

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Resume what was not logged yet."""
        if runner._resume:
            self._saved_log = checkpoint.get(LOG_KEY, {})

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None
    ) -> None:
        """Set the factor on the whole of each loss."""
        self._ramps.set(runner)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Take in the losses, update the weights, log, and let go of the
        recorded tensors."""
        step = self._step(runner)
        active = self._is_active(step)
        losses = self._losses.values()
        taken = (
            collect_losses(losses)
            if active
            else [loss.take_losses() for loss in losses]
        )
        for name, means in zip(self._losses, taken):
            self._loss_log.add(name, means)
        if active and not self.by_epoch:
            self._update(step + 1)
        if any(
            self.every_n_inner_iters(batch_idx, interval)
            for interval in self._log_intervals
        ) or self.end_of_epoch(runner.train_dataloader, batch_idx):
            self._log(runner)
        for recorder in self._recorders:
            recorder.reset_data_buffer()

    def after_train_epoch(self, runner: Runner) -> None:
        """Update the weights, if they are updated by epoch."""
        step = self._step(runner)
        if self.by_epoch and self._is_active(step):
            self._update(step + 1)

    def _check_alone(self, model: nn.Module, hooks: Sequence[Hook]) -> None:
        """Raise if another hook writes the weights of the same loss."""
        for other in hooks:
            if other is self or not isinstance(other, LossWeightSchedulerHook):
                continue
            shared = [
                name
                for name in find_dskd_losses(model, other.loss)
                if name in self._losses
            ]
            if shared:
                raise ValueError(
                    'The branch weights of a loss should follow one '
                    f'LossWeightSchedulerHook, but those of {shared[0]} have '
                    f'two: ({self._arguments()}) and ({other._arguments()}). '
                    'Give each hook another loss. To replace the hook of a '
                    '_base_ config, leave it out: custom_hooks = '
                    "[dict(type='mmdskd.LossWeightSchedulerHook', ...), "
                    '*(hook for hook in _base_.custom_hooks if hook.type != '
                    "'mmdskd.LossWeightSchedulerHook')]"
                )

    def _arguments(self) -> str:
        """What tells this hook from another one."""
        return f'loss={self.loss!r}, strategy={self.strategy!r}'

    def _is_active(self, step: int) -> bool:
        """Whether the allocation acts in this epoch or iteration."""
        return step >= self.begin and (self.end is None or step < self.end)

    def _step(self, runner: Runner) -> int:
        """Finished epochs or iterations."""
        return runner.epoch if self.by_epoch else runner.iter

    def _update(self, step: int) -> None:
        """Write the weights if these finished steps end an interval."""
        since = step - self.begin
        if since % self.interval:
            return
        strength = 1.0
        if self.weight_warmup:
            strength = min(1.0, since / self.weight_warmup)
        for loss in self._losses.values():
            loss.update_weights(self.strategies, self.ema_decay, strength)

    def _log(self, runner: Runner) -> None:
        """Hand losses and weights to the logger, in one transfer."""
        scalars, counts = self._loss_log.read()
        for key, value in scalars.items():
            runner.message_hub.update_scalar(f'train/{key}', value)
        found = [key for key in counts if counts[key] > self._nonfinite[key]]
        if found:
            self._nonfinite = dict.fromkeys(counts, float('inf'))
            runner.logger.warning(
                f'inf or nan in the losses of {", ".join(found)}: such '
                'iterations leave the branch weights as they are. Said once'
            )
