"""Save the plain student beside each checkpoint."""

import os
import os.path as osp
from contextlib import suppress
from typing import Optional

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook, Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import Runner
from torch import nn

from mmdskd.export.student_config import make_student_config
from mmdskd.export.student_weights import (
    CONFIG_NAME,
    extract_student,
    student_path,
)
from mmdskd.registry import HOOKS
from mmdskd.utils.checkpoint import load_checkpoint_file
from mmdskd.utils.files import (
    save_checkpoint_atomically,
    save_config_atomically,
)
from mmdskd.utils.model import unwrap_model

DELETABLE_KEY = 'student_deletable_ckpts'


@HOOKS.register_module()
class StudentCheckpointHook(Hook):
    """Save the plain student beside each checkpoint of an MMRazor algorithm.

    For ``epoch_10.pth``, ``epoch_10_student.pth`` holds the weights and the
    meta of the student alone, as MMPretrain loads it, and
    ``student_config.py`` in the same folder its config, data preprocessor
    included. The two give the logged accuracy, and need neither the teacher
    nor, where the student itself is not ours, this package.

    The student is read from the finished checkpoint file, so it is what was
    saved: the averaged weights under :class:`mmengine.hooks.EMAHook`. It is
    written anew when ``CheckpointHook`` saves the file anew, and deleted when
    that deletes the checkpoint (``max_keep_ckpts``, or a better best one),
    also across a resume. No other file is ever deleted.

    A student can always be made again from its checkpoint. So if it can't be
    written, for example because the disk is full, an error is logged,
    training goes on, and a student of that name is never left half-written
    or from another run. A resume writes the students that are missing.

    It serves one ``CheckpointHook`` that saves to a local file system, and
    costs nothing in iterations that save no checkpoint.

    Examples:
        >>> custom_hooks = [dict(type='mmdskd.StudentCheckpointHook')]
    """

    # After CheckpointHook, whose priority is VERY_LOW.
    priority = 'LOWEST'

    def __init__(self) -> None:
        self._cfg: Optional[Config] = None
        self._has_written_cfg = False
        self._checkpoint_hook: Optional[CheckpointHook] = None
        # Checkpoints of this run that have their student.
        self._exported: set[str] = set()
        self._has_saved = False

    def before_train(self, runner: Runner) -> None:
        """Check that there is a student, and write those that are missing.

        Args:
            runner (Runner): The runner of the training process.

        Raises:
            TypeError: If the model has no ``architecture``.
            ValueError: If checkpoints don't go to a local file system.
        """
        model = unwrap_model(runner.model)
        if not isinstance(getattr(model, 'architecture', None), nn.Module):
            raise TypeError(
                'StudentCheckpointHook should serve an algorithm of MMRazor, '
                'which has its student as "architecture", but got '
                f'{type(model).__name__}. The checkpoints of a plain network '
                'already are those of the student: remove the hook.'
            )
        self._checkpoint_hook = next(
            (
                hook
                for hook in runner.hooks
                if isinstance(hook, CheckpointHook)
            ),
            None,
        )
        if self._checkpoint_hook is None:
            runner.logger.warning(
                'StudentCheckpointHook has nothing to do: the runner has no '
                'CheckpointHook.'
            )
            return
        backend = self._checkpoint_hook.file_backend
        backend = getattr(backend, 'client', backend)
        if not isinstance(backend, LocalBackend):
            raise ValueError(
                'out_dir of CheckpointHook should be on a local file system '
                'for StudentCheckpointHook, but got '
                f'"{self._checkpoint_hook.out_dir}".'
            )
        if 'model' in runner.cfg:
            self._cfg = make_student_config(runner.cfg)
        else:
            runner.logger.warning(
                f'StudentCheckpointHook writes no {CONFIG_NAME}: the runner '
                'was built without a config.'
            )
        if is_main_process():
            last, deletable = self._find_checkpoints(runner)
            self._exported = {
                path
                for path in (last, *deletable)
                if path is not None and osp.isfile(student_path(path))
            }
            self._update(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note that a checkpoint is about to be saved.

        Args:
            runner (Runner): The runner of the training process.
            checkpoint (dict): The checkpoint.
        """
        self._has_saved = True

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Follow a ``CheckpointHook`` that counts iterations.

        Args:
            runner (Runner): The runner of the training process.
            batch_idx (int): Index of the batch.
            data_batch (dict or tuple or list, optional): The batch.
            outputs (dict, optional): Outputs of the model.
        """
        self._update_if_saved(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Follow a ``CheckpointHook`` that counts epochs.

        Args:
            runner (Runner): The runner of the training process.
        """
        self._update_if_saved(runner)

    def after_val_epoch(
        self, runner: Runner, metrics: Optional[dict] = None
    ) -> None:
        """Follow a ``CheckpointHook`` that has found a best checkpoint.

        Args:
            runner (Runner): The runner of the training process.
            metrics (dict, optional): Evaluation results.
        """
        self._update_if_saved(runner)

    def _update_if_saved(self, runner: Runner) -> None:
        # MMEngine saves, and so sets this, on the main process only.
        if self._has_saved and self._checkpoint_hook is not None:
            self._has_saved = False
            self._update(runner, has_saved=True)

    def _find_checkpoints(
        self, runner: Runner
    ) -> tuple[Optional[str], list[str]]:
        """Find the checkpoints that ``CheckpointHook`` holds.

        Args:
            runner (Runner): The runner of the training process.

        Returns:
            tuple: Path of the last checkpoint, if there is one, and the paths
            of those that will be deleted some day.
        """
        info = runner.message_hub.runtime_info
        hook = self._checkpoint_hook
        assert hook is not None  # else nothing is written
        deletable = [
            osp.join(hook.out_dir, hook.filename_tmpl.format(step))
            for step in info.get('keep_ckpt_ids', ())
        ] + [
            path
            for key, path in info.items()
            if key == 'best_ckpt' or key.startswith('best_ckpt_')
        ]
        return info.get('last_ckpt'), deletable

    def _update(self, runner: Runner, has_saved: bool = False) -> None:
        """Write and delete students as the checkpoints were.

        Args:
            runner (Runner): The runner of the training process.
            has_saved (bool): Whether there is a new checkpoint. With it, the
                last one is always saved, be it anew. Defaults to False.
        """
        last, deletable = self._find_checkpoints(runner)
        pending = [
            path
            for path in deletable
            if path not in self._exported and path != last
        ]
        if last is not None and (has_saved or last not in self._exported):
            pending.append(last)
        for path in pending:
            if osp.exists(path):
                self._export(runner, path)

        # The message hub is in the checkpoints, so that a resumed run knows.
        previous = runner.message_hub.get_info(DELETABLE_KEY, [])
        for path in previous:
            if path not in deletable and not osp.exists(path):
                self._delete(path)
        runner.message_hub.update_info(DELETABLE_KEY, deletable)

    def _export(self, runner: Runner, path: str) -> None:
        """Write the student of a checkpoint; log an error if that fails.

        Args:
            runner (Runner): The runner of the training process.
            path (str): The checkpoint.
        """
        try:
            if self._cfg is not None and not self._has_written_cfg:
                save_config_atomically(
                    self._cfg, osp.join(osp.dirname(path), CONFIG_NAME)
                )
                self._has_written_cfg = True
            student = extract_student(load_checkpoint_file(path), self._cfg)
            save_checkpoint_atomically(student, student_path(path))
        # Whatever it is, it must not cost the training.
        except Exception as error:
            if path not in self._exported:
                # A student of that name is from a checkpoint that is gone.
                self._delete(path)
            runner.logger.error(
                f'The student of {path} was not saved ({error!r}). Training '
                'goes on; tools/model_converters/'
                'convert_kd_ckpt_to_student.py saves it later.'
            )
        else:
            self._exported.add(path)

    def _delete(self, path: str) -> None:
        """Delete the student of a checkpoint, if there is one.

        Args:
            path (str): The checkpoint.
        """
        self._exported.discard(path)
        with suppress(OSError):
            os.remove(student_path(path))
