"""Save the plain student beside each checkpoint."""

import os
import os.path as osp
from contextlib import suppress
from typing import Any, Optional, cast

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook, Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import Runner
from torch import nn

from mmdskd.export.image_batch import take_run_images
from mmdskd.export.student_check import check_names, check_student
from mmdskd.export.student_config import make_student_config
from mmdskd.export.student_weights import (
    CONFIG_NAME,
    extract_student,
    student_path,
)
from mmdskd.export.trained_student import hold_weights, run_network
from mmdskd.registry import HOOKS
from mmdskd.utils.checkpoint import load_checkpoint_file
from mmdskd.utils.files import (
    save_checkpoint_atomically,
    save_config_atomically,
)
from mmdskd.utils.model import unwrap_model
from mmdskd.utils.random_state import keep_random_state

from ..own_files import DELETABLE_KEY
from .exact_resume_hook import find_checkpoint_hook


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

    Before it is written, the plain student is built from the config, loads
    the weights as a test does, and must give the logits of the student in
    the run on a few images of the run.

    A student can always be made again from its checkpoint. So if it can't be
    written, for example because the disk is full, or gives other logits, an
    error is logged, training goes on, and no student of that name is left,
    neither half-written nor from another checkpoint. A resume writes the
    students that are missing.

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
        self._images: Any = None

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
        self._checkpoint_hook = find_checkpoint_hook(runner)
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

    @keep_random_state()
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
            self._check(runner, student)
            save_checkpoint_atomically(student, student_path(path))
        # Whatever it is, it must not cost the training.
        except Exception as error:
            # A student of that name is from a checkpoint that is gone.
            self._delete(path)
            runner.logger.error(
                f'The student of {path} was not saved ({error!r}). Training '
                'goes on; tools/model_converters/'
                'convert_kd_ckpt_to_student.py saves it later.'
            )
        else:
            self._exported.add(path)

    def _check(self, runner: Runner, student: dict) -> None:
        """See that a student is the one of the run before it is written.

        Args:
            runner (Runner): The runner of the training process.
            student (dict): The student in a checkpoint of the run.

        Raises:
            StudentMismatchError: If it is another one.
        """
        model = unwrap_model(runner.model)
        network = cast(nn.Module, model.architecture)
        preprocessor = cast(nn.Module, model.data_preprocessor)
        if self._cfg is None:
            check_names(network)
            return
        theirs = None
        if self._images is None:
            self._images = take_run_images(runner)
        if self._images is not None:
            with hold_weights(network, student['state_dict']):
                theirs = run_network(network, preprocessor, self._images)
        check_student(student, self._cfg, theirs, self._images)

    def _delete(self, path: str) -> None:
        """Delete the student of a checkpoint, if there is one.

        Args:
            path (str): The checkpoint.
        """
        self._exported.discard(path)
        with suppress(OSError):
            os.remove(student_path(path))
