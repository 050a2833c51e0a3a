"""One training by ``tools/train.py``: its command, state and result."""

import copy
import functools
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import torch
from mmengine.config import Config

from mmdskd.engine.checks.config_check import merge_options
from mmdskd.export.student_weights import CONFIG_NAME, student_path
from mmdskd.utils.arguments import parse_options
from mmdskd.utils.config import check_has, load_config
from mmdskd.utils.files import find_project_folder, write_json
from mmdskd.utils.literal_config import read_dumped_config

from .network import build_network, save_initial_weights
from .recipe import INITIAL_WEIGHTS
from .run_log import RunLog, read_run_log, training_seconds

ACCURACY = 'accuracy/top1'


class TrainingRun:
    """One training: a method with a seed.

    Its folder holds what ``tools/train.py`` writes, the output of that in
    ``train.log``, and ``run.json``: what is trained, and when it is finished
    also the result.

    Args:
        method (str): Name of the method, and of the folder.
        seed (int): Random seed.
        config (str): Path of the config, from the root of the project.
        root (Path): Folder of the whole demo.
        options (Sequence[str]): ``KEY=VALUE`` settings that override the
            config. Defaults to none.
        parents (Sequence[TrainingRun]): The teacher, which must be finished
            before a distillation starts, and the student, from whose initial
            weights this one starts. Defaults to none.
    """

    def __init__(
        self,
        method: str,
        seed: int,
        config: str,
        root: Path,
        options: Sequence[str] = (),
        parents: Sequence['TrainingRun'] = (),
    ) -> None:
        self.method = method
        self.seed = seed
        self.config = config
        self.options = [*options, f'randomness.seed={seed}']
        self.parents = parents
        self.work_dir = root / f'seed{seed}' / method
        self.student_init = root / f'seed{seed}' / INITIAL_WEIGHTS
        self.cfg = copy.deepcopy(load_once(os.path.abspath(self.config_path)))
        merge_options(self.cfg, parse_options(self.options))
        check_has(self.cfg, config, 'model', 'train_cfg')
        self.max_epochs = self.cfg.train_cfg.max_epochs
        self.distilled = 'architecture' in self.cfg.model
        content = [self.cfg.to_dict(), [run.fingerprint for run in parents]]
        self.fingerprint: str = hashlib.sha256(
            json.dumps(content, sort_keys=True, default=str).encode()
        ).hexdigest()

    @property
    def config_path(self) -> str:
        """str: Path of the config, from where we are."""
        project = find_project_folder('configs').parent
        return os.path.relpath(project / self.config)

    @property
    def state(self) -> dict:
        """dict: What ``run.json`` says, if it is about this very config."""
        state = self._read_state()
        return state if state.get('fingerprint') == self.fingerprint else {}

    @property
    def result(self) -> Optional[dict]:
        """dict: The result, once the run is finished."""
        result = self.state.get('result')
        if result is None:
            return None
        checkpoint = self.work_dir / result['checkpoint']
        if not checkpoint.is_file():
            return None
        return dict(result, checkpoint=str(checkpoint))

    @property
    def is_ready(self) -> bool:
        """bool: Whether all that it needs from other runs is there."""
        return not self.distilled or self.parents[0].result is not None

    def adopt(self) -> None:
        """Take a finished run in the folder as it is, whatever its settings.

        Raises:
            FileNotFoundError: If there is none.
            ValueError: If it is one of another config.
        """
        self.fingerprint = self._read_state().get(
            'fingerprint', self.fingerprint
        )
        if self.result is None:
            raise FileNotFoundError(
                f'{self.work_dir} should hold a finished run of '
                f'{self.config}, but does not. Train it first.'
            )
        if self.result['config'] != self.config:
            raise ValueError(
                f'{self.work_dir} should hold a run of {self.config}, but '
                f'holds one of {self.result["config"]}.'
            )

    @property
    def last_checkpoint(self) -> Optional[Path]:
        """Path: The newest checkpoint that has been validated, if any.

        A kill can leave one that is torn, or that has not been validated
        yet; a resume from the last epoch would not make up for it.
        """
        validated = _last_validated(read_run_log(self.work_dir))
        epochs = [
            epoch
            for epoch in range(1, validated + 1)
            if self.checkpoint_of(epoch).is_file()
        ]
        return self.checkpoint_of(epochs[-1]) if epochs else None

    @property
    def finished_epochs(self) -> int:
        """int: Finished epochs, as far as the log tells: those that have
        been validated or followed by another one."""
        log = read_run_log(self.work_dir)
        begun = log.train[-1]['epoch'] if log.train else 1
        return max(_last_validated(log), begun - 1)

    def _read_state(self) -> dict:
        """Read what ``run.json`` says, nothing if there is none."""
        path = self.work_dir / 'run.json'
        return json.loads(path.read_text()) if path.exists() else {}

    def checkpoint_of(self, epoch: int) -> Path:
        """Name the checkpoint that is saved after an epoch."""
        return self.work_dir / f'epoch_{epoch}.pth'

    def prepare(self) -> None:
        """Make the folder, and set aside one that another config has left.

        That of the student is prepared, too: it holds the initial weights.
        """
        for student in self.parents[1:]:
            student.prepare()
        if self.state:
            return
        if self.work_dir.exists():
            kept = set_aside(self.work_dir)
            print(
                f'{self.work_dir} was trained with other settings; it is '
                f'kept as {kept}.'
            )
        self.work_dir.mkdir(parents=True)
        if self.method == 'student':
            save_initial_weights(self.cfg, self.seed, self.student_init)
        write_json(
            self.work_dir / 'run.json', dict(fingerprint=self.fingerprint)
        )

    def command(self) -> list[str]:
        """Put together the call of ``tools/train.py``.

        Returns:
            list[str]: The call. It goes on from the last checkpoint.

        Raises:
            RuntimeError: If the run needs a teacher that is not finished.
        """
        options = list(self.options)
        if self.method != 'teacher':
            student = 'model.architecture' if self.distilled else 'model'
            options += [
                f'{student}.init_cfg.type=Pretrained',
                f'{student}.init_cfg.checkpoint={self.student_init}',
            ]
        if self.distilled:
            teacher = self.parents[0].result
            if teacher is None:
                raise RuntimeError(
                    f'{self.work_dir} should be trained after its teacher, '
                    f'but {self.parents[0].work_dir} is not finished.'
                )
            options += [
                f'model.teacher_ckpt={teacher["checkpoint"]}',
                # How good it is is known.
                'evaluate_teacher=False',
            ]
        command = [
            sys.executable,
            str(find_project_folder('tools') / 'train.py'),
            self.config_path,
            '--work-dir',
            str(self.work_dir),
            '--cfg-options',
            *options,
        ]
        if self.last_checkpoint:
            command += ['--resume', str(self.last_checkpoint)]
        return command

    def finish(self, threads: int) -> dict:
        """Write the result of a training that has come to its end.

        Args:
            threads (int): Number of threads that computed.

        Returns:
            dict: The result, as :attr:`result`.

        Raises:
            FileNotFoundError: If its last checkpoint is missing.
        """
        val = read_run_log(self.work_dir).val
        path = self.last_checkpoint
        if path is None:
            raise FileNotFoundError(
                f'{self.work_dir} should hold the checkpoint of an epoch, '
                'but holds none: leave default_hooks.checkpoint as it is.'
            )
        checkpoint = path.name
        cfg = self.cfg
        if self.distilled:
            checkpoint = student_path(checkpoint)
            # Its custom modules are those of this config: they are there.
            cfg = read_dumped_config(self.work_dir / CONFIG_NAME)
        network = build_network(cfg)
        result = dict(
            method=self.method,
            seed=self.seed,
            accuracy_top1=val[-1][ACCURACY],
            # JSON has no numbers as keys.
            top1_by_epoch={f'{line["step"]}': line[ACCURACY] for line in val},
            params=sum(p.numel() for p in network.parameters()),
            seconds=round(training_seconds(self.work_dir), 1),
            config=self.config,
            options=self.options[:-1],  # without the seed
            checkpoint=checkpoint,
            threads=threads,
            torch=torch.__version__,
        )
        write_json(
            self.work_dir / 'run.json',
            dict(fingerprint=self.fingerprint, result=result),
        )
        return dict(result, checkpoint=str(self.work_dir / checkpoint))


@functools.cache
def load_once(path: str) -> Config:
    """Load a config that many runs share, which must not be changed."""
    return load_config(path)


def _last_validated(log: RunLog) -> int:
    """Last epoch that has been validated, 0 if there is none."""
    return log.val[-1]['step'] if log.val else 0


def set_aside(folder: Path) -> Path:
    """Rename a folder to the first free one of ``name.1``, ``name.2``..."""
    number = 1
    while folder.with_name(f'{folder.name}.{number}').exists():
        number += 1
    return folder.rename(folder.with_name(f'{folder.name}.{number}'))
