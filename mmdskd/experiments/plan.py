"""Which runs compare vanilla training, KD and DSKD within a seed."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Optional

from mmdskd.utils.files import find_project_folder

from .pairs import PAIRS
from .training_run import TrainingRun

METHODS = ('teacher', 'student', 'kd', 'dskd')
NAME = re.compile(r'\w[\w.+-]*')


class Variant(NamedTuple):
    """A method that is another one with other settings.

    Attributes:
        config (str): A method of the pair, such as "dskd", or the path of a
            config.
        options (Sequence[str]): ``KEY=VALUE`` settings that override it.
            Defaults to none.
    """

    config: str
    options: Sequence[str] = ()


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
        methods (Sequence[str]): Those of ``METHODS`` to run. A distillation
            needs the teacher, which is run in any case.
        variants (Mapping[str, Variant]): More methods by name. Defaults to
            none.
        teacher_from (Path, optional): Folder of another comparison whose
            finished teachers are used as they are. Defaults to None.
    """

    work_dir: Path
    pair: str
    extra: Sequence[str] = ()
    options: Sequence[str] = ()
    one_teacher: bool = False
    methods: Sequence[str] = METHODS
    variants: Mapping[str, Variant] = {}
    teacher_from: Optional[Path] = None

    @property
    def results_file(self) -> Path:
        """Path: The results of all runs."""
        return self.work_dir / 'results.json'

    @property
    def report(self) -> Path:
        """Path: A picture of all runs."""
        return self.work_dir / 'report.png'

    def all_methods(self) -> dict[str, Variant]:
        """Find config and settings of each method.

        Returns:
            dict[str, Variant]: Path of the config, from the root of the
            project, and its settings, by method.

        Raises:
            ValueError: If a variant has a name that can't be used.
        """
        project = find_project_folder('configs').parent
        configs = PAIRS[self.pair].configs
        methods = {name: Variant(path) for name, path in configs.items()}
        for config in self.extra:
            path = Path(os.path.relpath(config, project)).as_posix()
            if path not in configs.values():
                methods[Path(path).stem] = Variant(path)
        for name, (config, options) in self.variants.items():
            if name in methods or not NAME.fullmatch(name):
                raise ValueError(
                    'the name of a variant should be new, and of letters, '
                    f'digits and "-_.+", but got {name!r} beside '
                    f'{", ".join(methods)}.'
                )
            path = (
                configs.get(config)
                or Path(os.path.relpath(config, project)).as_posix()
            )
            methods[name] = Variant(path, options)
        return methods

    def runs(self, seed: int) -> list[TrainingRun]:
        """List the runs of a seed, each after those that it needs.

        Args:
            seed (int): Random seed.

        Returns:
            list[TrainingRun]: The runs. Without the teacher's if it is of
            another seed.

        Raises:
            FileNotFoundError: If there is no such config, or no finished
                teacher in ``teacher_from``.
            ValueError: If a variant has a name that can't be used, or if
                ``teacher_from`` has another teacher.
        """
        runs: dict[str, TrainingRun] = {}
        for method, (config, options) in self.all_methods().items():
            is_teacher = method == 'teacher'
            runs[method] = TrainingRun(
                method,
                0 if is_teacher and self.one_teacher else seed,
                config,
                self.teacher_from or self.work_dir
                if is_teacher
                else self.work_dir,
                [*self.options, *options],
                ()
                if method in ('teacher', 'student')
                else (runs['teacher'], runs['student']),
            )
        if self.teacher_from:
            runs['teacher'].adopt()
        left_out = {*METHODS} - {*self.methods}
        if any(
            run.distilled for name, run in runs.items() if name not in left_out
        ):
            left_out -= {'teacher'}
        return [
            run
            for name, run in runs.items()
            if run.seed == seed and name not in left_out
        ]

    def finished_runs(self, first_seed: int) -> list[TrainingRun]:
        """List the finished runs of a seed and all later ones.

        Args:
            first_seed (int): The seed.

        Returns:
            list[TrainingRun]: The runs that earlier calls have left, if they
            fit the configs.
        """
        end = len(list(self.work_dir.glob('seed*')))
        if self.teacher_from and not self.one_teacher:
            end = min(end, len(list(self.teacher_from.glob('seed*'))))
        return [
            run
            for seed in range(first_seed, end)
            for run in self.runs(seed)
            if run.result
        ]
