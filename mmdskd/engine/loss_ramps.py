"""The factors on the whole of the DSKD losses of a training."""

from collections.abc import Mapping

from mmengine.runner import Runner

from mmdskd.models import DSKDLoss


class LossRamps:
    """Warm-up times schedule, for each loss that has one of them.

    Args:
        losses (dict[str, DSKDLoss]): The losses by name.
        warmup (int): Length of the linear rise from 0, >= 0.
        by_epoch (bool): Whether it counts epochs, else iterations.

    Attributes:
        scaled (dict[str, DSKDLoss]): The losses whose factor is not 1
            throughout.
    """

    def __init__(
        self, losses: Mapping[str, DSKDLoss], warmup: int, by_epoch: bool
    ) -> None:
        self.warmup = warmup
        self.by_epoch = by_epoch
        self.scaled = {
            name: loss
            for name, loss in losses.items()
            if warmup or not loss.schedule.is_constant
        }
        self._written: dict[str, float] = dict()

    def check(self, runner: Runner) -> None:
        """Check that each loss acts at some time of the training, and warn of
        a warm-up that does not end in it.

        Raises:
            ValueError: If the factor of a loss is 0 from the first iteration
                to the last.
        """
        unit = len(runner.train_dataloader) if self.by_epoch else 1
        length = runner.max_epochs if self.by_epoch else runner.max_iters
        if self.scaled and self.warmup > length:
            runner.logger.warning(
                f'loss_warmup={self.warmup} of LossWeightSchedulerHook should '
                f'end in the training, of {length}: the losses reach '
                f'{length / self.warmup:.2g} of their weight only.'
            )
        for name, loss in self.scaled.items():
            if not any(
                loss.schedule(i / runner.max_iters)
                and self._warmup_factor(i // unit)
                for i in range(runner.max_iters)
            ):
                raise ValueError(
                    f'{name} should act in training, but with loss_warmup='
                    f'{self.warmup} and its schedule, the factor on it is 0 '
                    f'in all {runner.max_iters} iterations'
                )

    def set(self, runner: Runner) -> None:
        """Write the factors that change, before an iteration.

        Beyond the end of the training, where a benchmark may go on, they stay
        as they are at the end.
        """
        warmup = self._warmup_factor(
            runner.epoch if self.by_epoch else runner.iter
        )
        progress = min(runner.iter / runner.max_iters, 1.0)
        for name, loss in self.scaled.items():
            factor = warmup * loss.schedule(progress)
            if factor != self._written.get(name):
                loss.set_progress(progress, warmup)
                self._written[name] = factor

    def _warmup_factor(self, step: int) -> float:
        """Factor of the warm-up after finished epochs or iterations."""
        return min(step / self.warmup, 1.0) if self.warmup else 1.0
