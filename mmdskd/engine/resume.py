"""Go on from a checkpoint."""

import os.path as osp
from typing import Any

from mmengine.dataset import InfiniteSampler
from mmengine.dist import barrier, get_rank, is_main_process
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop
from mmengine.runner.loops import EpochBasedTrainLoop, IterBasedTrainLoop

from mmdskd.compat.mmengine_checkpoints import pop_outdated
from mmdskd.utils.random_state import set_random_state

from .data_position import find_sampler
from .exact_state import (
    describe_changes,
    describe_settings,
    set_gradients,
    set_patience,
)
from .latest_checkpoint import EXACT_KEY, INTERRUPTED
from .own_files import (
    adopt_files,
    is_own,
    name_last_checkpoint,
    remove_outdated_files,
)


class Resume:
    """A checkpoint from which a training goes on.

    Args:
        path (str): Where it is.
        checkpoint (dict): What it holds.
    """

    def __init__(self, path: str, checkpoint: dict) -> None:
        self.path = path
        self.exact: dict[str, Any] = checkpoint.get(EXACT_KEY) or {}
        self.meta = checkpoint['meta']
        self.info = dict(checkpoint['message_hub'].get('runtime_info', {}))

    @property
    def own(self) -> dict[str, Any]:
        """dict: What was saved of this process, nothing if there is none."""
        ranks = self.exact.get('ranks', ())
        return ranks[get_rank()] if get_rank() < len(ranks) else {}

    def find_position(self, loop: BaseLoop) -> tuple[int, int]:
        """Find where the training was in its data.

        Args:
            loop (BaseLoop): The loop of the training.

        Returns:
            tuple[int, int]: Number of finished passes over the data, and of
            batches that were trained in this pass.

        Raises:
            ValueError: If it can't be told, or the loop can't go there.
        """
        passes, taken = self.exact.get('passes'), self.exact.get('taken')
        if not isinstance(loop, IterBasedTrainLoop):
            return self.meta['epoch'], self._find_taken(loop)
        if passes is None or taken is None:
            passes, taken = 0, self.meta['iter']
            sampler = find_sampler(loop.dataloader)
            if taken and not isinstance(sampler, InfiniteSampler):
                passes, taken = divmod(taken - 1, len(loop.dataloader))
                taken += 1
        return passes, taken

    def _find_taken(self, loop: BaseLoop) -> int:
        """Find how many batches of this epoch were trained."""
        epoch, iteration = self.meta['epoch'], self.meta['iter']
        batches = len(loop.dataloader)
        taken = self.exact.get('taken')
        if taken is None:
            is_within = epoch == self.info.get('epoch')
            taken = iteration - epoch * batches if is_within else 0
        if not taken:
            return 0
        changes = [
            change
            for change in self._find_changes(loop.runner)
            if 'max_' not in change
        ]
        if not 0 < taken <= batches or changes:
            raise ValueError(
                f'{self.path} was saved within epoch {epoch + 1}, after '
                f'iteration {iteration}. This run can not go on there: its '
                f'epochs are of {batches} batches'
                f'{"".join(f"; {change}" for change in changes)}. Resume with '
                'the settings of that run, or from the end of an epoch.'
            )
        if (
            not isinstance(loop, EpochBasedTrainLoop)
            or type(loop).run_epoch is not EpochBasedTrainLoop.run_epoch
        ):
            raise ValueError(
                f'{self.path} was saved within an epoch, where a '
                f'{type(loop).__name__} can not begin. Resume from the end of '
                'an epoch.'
            )
        return taken

    def _find_changes(self, runner: Runner) -> list[str]:
        return describe_changes(
            self.exact.get('settings', {}), describe_settings(runner)
        )

    def adopt_files(self, runner: Runner, out_dir: str) -> None:
        """Let the run know the files in its own folder only.

        Args:
            runner (Runner): The runner, which has loaded the checkpoint.
            out_dir (str): Where it saves checkpoints.
        """
        info = runner.message_hub.runtime_info
        for note in adopt_files(info, out_dir, self.path, is_main_process()):
            runner.logger.warning(note)
        if is_main_process():
            remove_outdated_files(
                info, out_dir, self.exact.get('saved_at', 0.0)
            )
            if is_own(self.path, out_dir):
                name_last_checkpoint(runner.work_dir, self.path)
        pop_outdated(runner.message_hub)
        barrier()

    def set_sampler_seed(self, runner: Runner) -> None:
        """Let the sampler draw as before; MMEngine has built it too early.

        Args:
            runner (Runner): The runner, which has loaded the checkpoint.
        """
        sampler = find_sampler(runner.train_dataloader)
        if 'seed' in getattr(sampler, '__dict__', {}):
            sampler.seed = self.exact.get('sampler_seed', runner.seed)

    def restore(self, runner: Runner) -> None:
        """Restore what other hooks must not draw from, and say what is not
        exact.

        Args:
            runner (Runner): The runner, ready to train.
        """
        if not self.exact:
            runner.logger.warning(
                f'{self.path} is of an earlier version and holds no random '
                'states: the training goes on, but draws other random numbers '
                'than without an interruption.'
            )
        changes = self._find_changes(runner)
        if changes:
            runner.logger.warning(
                f'The resume from {self.path} is not exact: '
                f'{"; ".join(changes)}.'
            )
        # SIGTERM is answered when all hooks have seen the result.
        is_within = osp.basename(self.path) != INTERRUPTED
        set_patience(
            runner,
            self.exact.get('patience', []),
            self.exact.get('validated', False) and is_within,
        )
        set_gradients(runner, self.exact.get('gradients', {}))
        if 'random' in self.own:
            set_random_state(self.own['random'])

    def validate(self, runner: Runner, taken: int) -> None:
        """Validate if the training was stopped before it has done so.

        Args:
            runner (Runner): The runner, ready to train.
            taken (int): Number of batches that were trained in this epoch.
        """
        if self.exact.get('validated') or not is_due(runner, taken):
            return
        runner.logger.info(
            f'{self.path} was saved before its validation, which is made up '
            'for.'
        )
        # As they are when an epoch ends
        for key in ('epoch', 'iter'):
            if key in self.info:
                runner.message_hub.update_info(key, self.info[key])
        runner.val_loop.run()

    def say_if_finished(self, runner: Runner) -> None:
        """Say if there is nothing to train.

        Args:
            runner (Runner): The runner, ready to train.
        """
        loop = runner.train_loop
        by_epoch = isinstance(loop, EpochBasedTrainLoop)
        done, end, unit = (
            (loop.epoch, loop.max_epochs, 'epochs')
            if by_epoch
            else (loop.iter, loop.max_iters, 'iters')
        )
        if done >= end:
            runner.logger.warning(
                f'{self.path} is the end of a training, which has '
                f'train_cfg.max_{unit}={end} behind it: there is nothing to '
                f'train. Raise max_{unit} to train longer.'
            )


def is_due(runner: Runner, taken: int) -> bool:
    """Find out whether a training validates where it is.

    Args:
        runner (Runner): The runner.
        taken (int): Number of batches that were trained in this epoch.

    Returns:
        bool: Whether a loop of MMEngine validates there.
    """
    loop = runner.train_loop
    if runner._val_loop is None:
        return False
    if isinstance(loop, EpochBasedTrainLoop):
        if taken:
            return False
        done, end = loop.epoch, loop.max_epochs
    elif isinstance(loop, IterBasedTrainLoop):
        done, end = loop.iter, loop.max_iters
    else:
        return False
    loop._decide_current_val_interval()
    return done >= loop.val_begin and (
        done % loop.val_interval == 0 or done == end
    )
