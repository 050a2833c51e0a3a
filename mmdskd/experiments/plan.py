"""Which runs compare vanilla training, KD and DSKD within a seed."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mmdskd.utils.files import find_project_folder

from .training_run import TrainingRun

# Teacher and student, and how the names of their configs end.
PAIRS = {
    'resnet20_resnet8-thin': '1xb64_digits',
    'resnet32x4_resnet8x4': '1xb16_digits32',
    'wrn40-2_shufflenetv1': '1xb16_digits32',
}


def find_methods(pair: str) -> dict[str, str]:
    """Find the configs of the four methods.

    Args:
        pair (str): One of ``PAIRS``.

    Returns:
        dict[str, str]: Path of the config by method, from the root of the
        project.
    """
    ending = PAIRS[pair]
    folder = ending.rpartition('_')[2]
    teacher, student = pair.split('_')
    names = dict(
        teacher=f'vanilla/{folder}/{teacher}',
        student=f'vanilla/{folder}/{student}',
        kd=f'kd/{folder}/kd_{pair}',
        dskd=f'dskd/{folder}/dskd_{pair}',
    )
    return {
        method: f'configs/{name}_{ending}.py' for method, name in names.items()
    }


class Plan(NamedTuple):
    """A comparison of methods.

    Attributes:
        work_dir (Path): Folder of all runs.
        pair (str): Teacher and student, one of ``PAIRS``.
        extra (Sequence[str]): More distillation configs, each of which is a
            method named by its file. Defaults to none.
        options (Sequence[str]): ``KEY=VALUE`` settings that override those of
            all configs. Defaults to none.
        one_teacher (bool): Whether the teacher of seed 0 teaches in all
            seeds. Defaults to False.
    """

    work_dir: Path
    pair: str
    extra: Sequence[str] = ()
    options: Sequence[str] = ()
    one_teacher: bool = False

    @property
    def results_file(self) -> Path:
        """Path: The results of all runs."""
        return self.work_dir / 'results.json'

    @property
    def report(self) -> Path:
        """Path: A picture of all runs."""
        return self.work_dir / 'report.png'

    def runs(self, seed: int) -> list[TrainingRun]:
        """List the runs of a seed, each after those that it needs.

        Args:
            seed (int): Random seed.

        Returns:
            list[TrainingRun]: The runs. Without the teacher's if it is of
            another seed.

        Raises:
            FileNotFoundError: If there is no such config.
        """
        project = find_project_folder('configs').parent
        configs = find_methods(self.pair)
        for config in self.extra:
            config = os.path.relpath(config, project)
            if config not in configs.values():
                configs[Path(config).stem] = config
        runs: dict[str, TrainingRun] = {}
        for method, config in configs.items():
            is_shared = method == 'teacher' and self.one_teacher
            runs[method] = TrainingRun(
                method,
                0 if is_shared else seed,
                config,
                self.work_dir,
                self.options,
                ()
                if method in ('teacher', 'student')
                else (runs['teacher'], runs['student']),
            )
        return [run for run in runs.values() if run.seed == seed]

    def finished_runs(self, first_seed: int) -> list[TrainingRun]:
        """List the finished runs of a seed and all later ones.

        Args:
            first_seed (int): The seed.

        Returns:
            list[TrainingRun]: The runs that earlier calls have left, if they
            fit the configs.
        """
        end = len(list(self.work_dir.glob('seed*')))
        return [
            run
            for seed in range(first_seed, end)
            for run in self.runs(seed)
            if run.result
        ]
