from typing import Optional

import torch
from mmengine.hooks import Hook, LoggerHook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import IterBasedTrainLoop, Runner
from mmrazor.engine import StopDistillHook
from torch import Tensor

from mmdskd.engine.distillation_parts import (
    find_dskd_losses,
    find_recorders,
    log_prefix,
)
from mmdskd.models.losses.branch_weights import add_over_ranks
from mmdskd.models.task_modules.loss_weight_strategies.build import (
    StrategyConfig,
    build_strategies,
)
from mmdskd.registry import HOOKS
from mmdskd.utils.model import unwrap_model

from ..distillation_check import check_distillation


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
    - ``dskd.ramp``: factor on the whole, if there is a ramp.

    It waits for the device only then. Before training, it checks that
    recorder, connector and loss fit, and after each iteration it lets go of
    what the recorders of the model hold, MMRazor's included.

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
        by_epoch (bool): Whether ``interval``, ``begin``, ``end``, ``warmup``
            and ``ramp`` count epochs, else iterations. Defaults to False.
        begin (int): When the allocation begins; the weights are 1 before.
            Defaults to 0.
        end (int, optional): When it ends; the weights stay as they are then.
            None means never. Defaults to None.
        warmup (int): Length of the linear change from weights of 1 to those
            of the strategy, counted from ``begin``. Defaults to 0.
        ramp (int): Length of a linear rise of the whole DSKD loss from 0,
            counted from the start of training. Defaults to 0, which is none.

    Raises:
        KeyError: If there is no strategy of that name.
        TypeError: If ``strategy`` is not one.
        ValueError: If a number is out of its range.

    Examples:
        >>> custom_hooks = [
        ...     dict(
        ...         type='mmdskd.LossWeightSchedulerHook', loss='loss_dskd',
        ...         strategy=dict(type='softmax', temperature=0.5))]
    """

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
        warmup: int = 0,
        ramp: int = 0,
    ) -> None:
        if not 0 <= ema_decay < 1:
            raise ValueError(
                f'ema_decay should be in [0, 1), but got {ema_decay}'
            )
        for name, value, least in (
            ('interval', interval, 1),
            ('begin', begin, 0),
            ('warmup', warmup, 0),
            ('ramp', ramp, 0),
        ):
            if not isinstance(value, int) or value < least:
                raise ValueError(
                    f'{name} should be a whole number >= {least}'
                    f', but got {value}'
                )
        if end is not None and end <= begin:
            raise ValueError(f'end should be > begin={begin}, but got {end}')
        self.loss = loss
        self.strategies = build_strategies(strategy)
        self.ema_decay = ema_decay
        self.interval = interval
        self.by_epoch = by_epoch
        self.begin = begin
        self.end = end
        self.warmup = warmup
        self.ramp = ramp

    def before_train(self, runner: Runner) -> None:
        """Find the losses and recorders of the model, check that they fit,
        and start anew unless the run is resumed.

        Raises:
            KeyError: If ``loss`` is not a DSKD loss of the model.
            ValueError: If the parts of the distillation do not fit,
                ``by_epoch`` is set in training by iterations, or
                ``StopDistillHook`` serves an algorithm that does not know
                it, or would break distributed training.
        """
        if self.by_epoch and isinstance(runner.train_loop, IterBasedTrainLoop):
            raise ValueError(
                'by_epoch=True needs training by epochs, but '
                'train_cfg counts iterations'
            )
        model = unwrap_model(runner.model)
        self._losses = find_dskd_losses(model, self.loss)
        check_distillation(model)
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
        self._seen: dict[str, Optional[dict]] = dict.fromkeys(self._losses)
        self._log_rows: dict[str, list[Tensor]] = dict()
        self._log_intervals = [
            hook.interval
            for hook in runner.hooks
            if isinstance(hook, LoggerHook)
        ]
        for loss in self._losses.values():
            if runner.iter == 0:
                loss.reset()
            loss.ramp.fill_(1)  # a resumed run may have another ramp
        self._num_nonfinite = sum(
            weights.num_nonfinite.item()
            for loss in self._losses.values()
            for weights in loss.allocation.values()
        )

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None
    ) -> None:
        """Set the factor of the ramp."""
        step = self._step(runner)
        if self.ramp and step <= self.ramp:
            for loss in self._losses.values():
                loss.ramp.fill_(min(1, step / self.ramp))

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
        active = step >= self.begin and (self.end is None or step < self.end)
        collected = []
        for name, loss in self._losses.items():
            if loss.last_losses is self._seen[name]:
                continue  # it did not run, e.g. after StopDistillHook
            self._seen[name] = loss.last_losses
            for term, losses in loss.last_losses.items():
                self._log_rows.setdefault(f'{name}.{term}', []).append(losses)
                collected.append((loss.allocation[term], losses))
        if active:
            add_over_ranks(collected)
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
        if (
            self.by_epoch
            and step >= self.begin
            and (self.end is None or step < self.end)
        ):
            self._update(step + 1)

    def _step(self, runner: Runner) -> int:
        """Finished epochs or iterations."""
        return runner.epoch if self.by_epoch else runner.iter

    def _update(self, step: int) -> None:
        """Write the weights if ``step`` finished epochs or iterations end an
        interval."""
        since = step - self.begin
        if since % self.interval:
            return
        strength = min(1, since / self.warmup) if self.warmup else 1
        for loss in self._losses.values():
            loss.update_weights(self.strategies, self.ema_decay, strength)

    def _log(self, runner: Runner) -> None:
        """Hand losses and weights to the logger, in one transfer from the
        device."""
        scalars: dict[str, Tensor] = dict()
        for name, loss in self._losses.items():
            prefix = log_prefix(name)
            for term, weights in loss.allocation.items():
                rows = self._log_rows.pop(f'{name}.{term}', [])
                if rows:
                    means = torch.stack(rows).mean(dim=0)
                    for i, mean in enumerate(means):
                        scalars[f'{prefix}.{term}_{i}'] = mean
                for i, weight in enumerate(weights.weights):
                    scalars[f'{prefix}.weight_{term}_{i}'] = weight
            if self.ramp:
                scalars[f'{prefix}.ramp'] = loss.ramp
        nonfinite = sum(
            weights.num_nonfinite
            for loss in self._losses.values()
            for weights in loss.allocation.values()
        )
        values = torch.stack([*scalars.values(), nonfinite]).tolist()
        for key, value in zip(scalars, values):
            runner.message_hub.update_scalar(f'train/{key}', value)
        if values[-1] > self._num_nonfinite:
            self._num_nonfinite = float('inf')
            runner.logger.warning(
                'A DSKD loss was not finite (inf or nan): such iterations '
                'leave the branch weights as they are. This is said once; '
                'num_nonfinite of the loss counts on'
            )
