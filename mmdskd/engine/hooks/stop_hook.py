"""The last hook of all: begin a resumed training, and stop one."""

import os.path as osp
from contextlib import suppress
from os import remove
from typing import Any, Callable, Optional

from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import Runner

from mmdskd.compat.mmengine_checkpoints import pop_outdated

from ..interruption import SIGTERM_CODE, interruption
from ..latest_checkpoint import INTERRUPTED
from ..own_files import name_last_checkpoint
from ..stop_agreement import LEAVE, NO, make_stop


class StopHook(Hook):
    """Begin a resumed training, and stop one that SIGTERM asks to stop.

    After SIGTERM the run ends at the end of the iteration, or of the
    validation, on all processes after the same one. It saves
    ``interrupted.pth``, from which a resume is exact, also in the middle of
    an epoch. The next checkpoint replaces it.

    :class:`~.exact_resume_hook.ExactResumeHook` registers it, behind all
    others.

    Args:
        begin (Callable): What is called with the runner when all hooks are
            ready to train.
        out_dir (str): Where checkpoints are saved.
        backend_args (dict, optional): How. Defaults to None.
    """

    priority = 'LOWEST'

    def __init__(
        self,
        begin: Callable[[Runner], None],
        out_dir: str,
        backend_args: Optional[dict] = None,
    ) -> None:
        self.begin = begin
        self.out_dir = out_dir
        self.backend_args = backend_args
        self.stop: Any = None
        # Iteration of the last checkpoint.
        self.saved_at = -1

    def before_train(self, runner: Runner) -> None:
        """Restore what the other hooks must not draw from.

        Args:
            runner (Runner): The runner.
        """
        interruption.begin_run()
        self.stop = make_stop(lambda: interruption.is_asked_to_stop)
        self.begin(runner)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Stop at the end of an iteration.

        Args:
            runner (Runner): The runner.
            batch_idx (int): Index of the batch.
            data_batch (dict or tuple or list, optional): The batch.
            outputs (dict, optional): Outputs of the model.
        """
        self._remove_outdated(runner)
        self._stop_if_asked(runner, runner.iter + 1)

    def after_train_epoch(self, runner: Runner) -> None:
        """Remove what a new checkpoint has outdated.

        Args:
            runner (Runner): The runner.
        """
        self._remove_outdated(runner)

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: Any = None,
    ) -> None:
        """Stop in a validation that a resume makes up for.

        Args:
            runner (Runner): The runner.
            batch_idx (int): Index of the batch.
            data_batch (dict or tuple or list, optional): The batch.
            outputs (Sequence, optional): Outputs of the model.
        """
        interruption.check()
        if (
            self.saved_at == runner.iter
            and not hasattr(self.stop, 'store')
            and interruption.is_asked_to_stop
        ):
            self._leave()

    def after_val_epoch(
        self, runner: Runner, metrics: Optional[dict] = None
    ) -> None:
        """Stop at the end of a validation.

        Args:
            runner (Runner): The runner.
            metrics (dict, optional): Evaluation results.
        """
        self._remove_outdated(runner)
        self._stop_if_asked(runner, runner.iter)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note that a checkpoint is about to be saved.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): The checkpoint.
        """
        if 'optimizer' in checkpoint:
            self.saved_at = checkpoint['meta']['iter']

    def after_train(self, runner: Runner) -> None:
        """Leave it to SIGTERM to end the process.

        Args:
            runner (Runner): The runner.
        """
        interruption.cancel()
        self.stop.close()

    def _remove_outdated(self, runner: Runner) -> None:
        """Remove what SIGTERM has left, once there is a newer checkpoint."""
        for path in pop_outdated(runner.message_hub):
            if is_main_process() and osp.basename(path) == INTERRUPTED:
                with suppress(OSError):
                    remove(path)

    def _stop_if_asked(self, runner: Runner, iteration: int) -> None:
        """Stop if that was asked for."""
        interruption.check()
        decision = self.stop.decide() if self.stop is not None else NO
        if decision == NO:
            return
        # Whoever has sent the signal decides how long this may take.
        interruption.is_ending = True
        if decision != LEAVE:
            self._save(runner, iteration)
        self._leave()

    def _save(self, runner: Runner, iteration: int) -> None:
        """Save a checkpoint from which the training goes on exactly."""
        runner.call_hook('before_gather_checkpoint')
        pop_outdated(runner.message_hub)
        runner.save_checkpoint(
            self.out_dir,
            INTERRUPTED,
            meta=dict(epoch=runner.epoch, iter=iteration),
            save_param_scheduler=runner.param_schedulers is not None,
            by_epoch=False,
            backend_args=self.backend_args,
        )
        path = osp.join(self.out_dir, INTERRUPTED)
        if is_main_process():
            name_last_checkpoint(runner.work_dir, path)
        interruption.saved = path
        # A process that is gone is an error to those that still save.
        barrier()

    def _leave(self) -> None:
        interruption.is_ending = True
        interruption.cancel()
        raise SystemExit(SIGTERM_CODE)
