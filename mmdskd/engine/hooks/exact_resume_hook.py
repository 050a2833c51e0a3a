"""Make a resumed training end as one that was not interrupted."""

import functools
import os.path as osp
import time
from typing import Any, Optional

from mmengine.dist import all_gather_object, get_rank, is_main_process
from mmengine.hooks import CheckpointHook, Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop
from mmengine.runner.loops import EpochBasedTrainLoop, IterBasedTrainLoop

from mmdskd.compat.mmengine_checkpoints import OUTDATED_KEY
from mmdskd.registry import HOOKS
from mmdskd.utils.random_state import get_random_state

from ..checks.resume_check import check_resumable, describe_optimizers
from ..data_position import (
    PositionedIterator,
    find_sampler,
    keep_seeds_apart,
    position_batches,
    run_rest_of_epoch,
)
from ..exact_state import describe_settings, get_gradients, get_patience
from ..interruption import interruption
from ..latest_checkpoint import EXACT_KEY, INTERRUPTED, find_latest_checkpoint
from ..own_files import get_out_dir, remove_temporary_files
from ..resume import Resume
from .stop_hook import StopHook


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Make a resumed training end as one that was not interrupted.

    A checkpoint also holds the random states of all processes, where the
    training is in its data, whether it was validated, and gradients that
    wait for more (``accumulative_counts``). A resume restores them, validates
    what a kill has left unvalidated, and goes on in the middle of an epoch.
    On a CPU the weights are bit-identical in the end; on a GPU as far as its
    operators are deterministic.

    It also:

    - finds the newest whole checkpoint for a resume without a path;
    - refuses a checkpoint from which a resume would not be exact, such as the
      best one, which MMEngine saves without the optimizer;
    - adopts the files of a run that has moved, and leaves those of another
      run alone;
    - removes what a kill has left of its own writing;
    - lets SIGTERM end the run after an iteration, with a checkpoint,
      ``interrupted.pth``.

    Workers that load data are seeded for each batch, by the seed of the run,
    the rank, the epoch and the batch. In an iteration the hook costs nothing.

    Examples:
        >>> default_hooks = dict(
        ...     exact_resume=dict(type='mmdskd.ExactResumeHook'))
    """

    # Before those that use what it restores.
    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self.out_dir = ''
        self.resumed: Optional[Resume] = None
        self._taken = 0
        self._validated_at = -1
        self._sampler: Any = None
        self._gathered: Optional[dict] = None

    def before_run(self, runner: Runner) -> None:
        """Find the checkpoint to resume from, and clear up.

        Args:
            runner (Runner): The runner.

        Raises:
            RuntimeError: If the processes find different checkpoints.
        """
        if not isinstance(runner._train_loop, BaseLoop):
            return  # a test
        hook = find_checkpoint_hook(runner)
        self.out_dir = get_out_dir(
            getattr(hook, 'out_dir', None), runner.work_dir
        )
        template = '' if hook is None else hook.filename_tmpl
        interruption.folders = runner.work_dir, self.out_dir, template
        if not any(isinstance(one, StopHook) for one in runner.hooks):
            # The last of all
            stop = StopHook(
                self.begin, self.out_dir, getattr(hook, 'backend_args', None)
            )
            runner.register_hook(stop, 'LOWEST')
        if runner._resume and runner._load_from is None:
            latest = find_latest_checkpoint(*interruption.folders)
            for line in latest.skipped:
                runner.logger.warning(line)
            runner._load_from = latest.path
            runner._resume = latest.path is not None
            if latest.path is None:
                runner.logger.warning(
                    f'There is no checkpoint in {self.out_dir} to resume '
                    'from: the training begins.'
                )
        found = all_gather_object((runner._resume, runner._load_from))
        if len(set(found)) > 1:
            raise RuntimeError(
                'All processes should resume from the same checkpoint, but '
                f'they found {sorted(set(map(str, found)))}. work_dir should '
                'be on a file system that they share.'
            )
        if is_main_process() and '://' not in self.out_dir:
            for folder in {runner.work_dir, self.out_dir}:
                for name in remove_temporary_files(folder):
                    runner.logger.info(f'{name} was left by a kill: removed.')

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check a checkpoint to resume from.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): The checkpoint.

        Raises:
            ValueError: See :func:`check_resumable`.
        """
        if not runner._resume or not self.out_dir:
            return
        path = str(runner._load_from)
        newest = None
        if not {'optimizer', 'message_hub'} <= checkpoint.keys():
            newest = find_latest_checkpoint(osp.dirname(path)).path
        check_resumable(checkpoint, runner, path, newest)
        self.resumed = Resume(path, checkpoint)

    def before_train(self, runner: Runner) -> None:
        """Go to where the training was in its data.

        Args:
            runner (Runner): The runner.

        Raises:
            ValueError: If it can't be told where that is.
        """
        loop, resumed = runner.train_loop, self.resumed
        dataloader = loop.dataloader
        passes, self._taken = 0, 0
        for one in (dataloader, getattr(runner._val_loop, 'dataloader', None)):
            keep_seeds_apart(one, runner.seed)
        self._sampler = position_batches(
            dataloader, lambda: (runner.seed, get_rank(), find_passes(loop))
        )
        if resumed is not None:
            passes, self._taken = resumed.find_position(loop)
            resumed.adopt_files(runner, self.out_dir)
            hook = find_checkpoint_hook(runner)
            if hook is not None:
                # MMEngine forgets it, and would not note the next best one.
                hook.last_ckpt = runner.message_hub.get_info('last_ckpt')
            resumed.set_sampler_seed(runner)
            if self._sampler is not None:
                self._sampler.start = resumed.own.get('start')
        # Workers of the loop as it was built know nothing of the above.
        if getattr(dataloader, '_iterator', None) is not None:
            dataloader._iterator = None
        if isinstance(loop, IterBasedTrainLoop):
            # With this option of OneDL, MMEngine skips no batch.
            is_there = getattr(loop, 'fast_forward_on_resume', False)
            skipped = 0 if is_there else loop.iter
            loop.dataloader_iterator = PositionedIterator(
                dataloader, self._sampler, passes, self._taken, skipped
            )
        elif self._taken:
            loop.run_epoch = functools.partial(
                self._finish_epoch, loop, self._taken
            )

    def _finish_epoch(self, loop: EpochBasedTrainLoop, taken: int) -> None:
        """Run the rest of an epoch; the next one is as always."""
        del loop.run_epoch
        run_rest_of_epoch(loop, self._sampler, taken)

    def begin(self, runner: Runner) -> None:
        """Restore the rest, once all hooks are ready to train.

        Args:
            runner (Runner): The runner.
        """
        resumed, self.resumed = self.resumed, None
        if resumed is not None:
            resumed.restore(runner)
            resumed.validate(runner, self._taken)
            resumed.say_if_finished(runner)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Note where the training is.

        Args:
            runner (Runner): The runner.
            batch_idx (int): Index of the batch.
            data_batch (dict or tuple or list, optional): The batch.
            outputs (dict, optional): Outputs of the model.
        """
        self._taken = batch_idx + 1

    def after_train_epoch(self, runner: Runner) -> None:
        """Note where the training is.

        Args:
            runner (Runner): The runner.
        """
        self._taken = 0

    def after_val_epoch(
        self, runner: Runner, metrics: Optional[dict] = None
    ) -> None:
        """Note that the weights are validated.

        Args:
            runner (Runner): The runner.
            metrics (dict, optional): Evaluation results.
        """
        self._validated_at = runner.iter

    def before_gather_checkpoint(self, runner: Runner) -> None:
        """Gather on all processes what only rank 0 can save.

        Args:
            runner (Runner): The runner.
        """
        part = dict(random=get_random_state())
        if self._sampler is not None and self._find_taken(runner):
            part['start'] = self._sampler.start
        self._gathered = dict(
            ranks=all_gather_object(part), gradients=get_gradients(runner)
        )
        path = osp.join(self.out_dir, INTERRUPTED)
        if self.out_dir and osp.isfile(path):
            # By then there is a newer one.
            outdated = runner.message_hub.get_info(OUTDATED_KEY, [])
            runner.message_hub.update_info(
                OUTDATED_KEY, list(dict.fromkeys([*outdated, path]))
            )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add what an exact resume needs.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): The checkpoint.
        """
        if 'optimizer' not in checkpoint or not self.out_dir:
            return
        if self._gathered is None:  # somebody else saves, on rank 0 only
            self._gathered = dict(ranks=[dict(random=get_random_state())])
        loop = runner.train_loop
        sampler = find_sampler(loop.dataloader)
        checkpoint[EXACT_KEY] = dict(
            self._gathered,
            saved_at=time.time(),
            passes=find_passes(loop),
            taken=self._find_taken(runner),
            validated=self._validated_at == checkpoint['meta']['iter'],
            settings=describe_settings(runner),
            optimizers=describe_optimizers(runner),
            patience=get_patience(runner),
        )
        if isinstance(getattr(sampler, 'seed', None), int):
            checkpoint[EXACT_KEY]['sampler_seed'] = sampler.seed
        self._gathered = None

    def _find_taken(self, runner: Runner) -> int:
        """Number of batches that were trained in this pass."""
        loop = runner.train_loop
        if isinstance(loop, IterBasedTrainLoop):
            return getattr(loop.dataloader_iterator, 'taken', 0)
        return self._taken


def find_checkpoint_hook(runner: Runner) -> Optional[CheckpointHook]:
    """Find the hook that saves checkpoints.

    Args:
        runner (Runner): The runner.

    Returns:
        CheckpointHook: The first one, None if there is none.
    """
    return next(
        (hook for hook in runner.hooks if isinstance(hook, CheckpointHook)),
        None,
    )


def find_passes(loop: BaseLoop) -> int:
    """Find how often a training has gone through its data.

    Args:
        loop (BaseLoop): The loop.

    Returns:
        int: Number of finished passes.
    """
    if isinstance(loop, IterBasedTrainLoop):
        return loop.dataloader_iterator.passes
    return loop.epoch
