"""Leave what trainings of the demo leave, without training."""

import os
import time
from pathlib import Path

from mmengine.config import Config
from test_experiments.logs import val_line, write_log, write_session

from mmdskd.experiments.training_run import TrainingRun
from mmdskd.export.student_weights import CONFIG_NAME, student_path
from mmdskd.utils.files import write_json

EPOCHS = 3
TINY = [
    f'train_cfg.max_epochs={EPOCHS}',
    'train_dataloader.num_batch_per_epoch=2',
    'val_dataloader.num_batch_per_epoch=1',
    'default_hooks.checkpoint.interval=1',
]


def log_validations(run: TrainingRun, *epochs: int) -> None:
    write_log(
        run.work_dir, [val_line(epoch, 50.0 + epoch) for epoch in epochs]
    )


def train(run: TrainingRun, top1: float = 50.0) -> None:
    """Leave what ``tools/train.py`` does after a minute."""
    start = '20260101_000000'
    write_session(run.work_dir, [10.0, 20.0, top1], start)
    (log,) = run.work_dir.glob('*/vis_data/scalars.json')
    end = time.mktime(time.strptime(start, '%Y%m%d_%H%M%S')) + 60
    os.utime(log, (end, end))
    for epoch in range(1, EPOCHS + 1):
        run.checkpoint_of(epoch).touch()
    if run.distilled:
        Path(student_path(str(run.checkpoint_of(EPOCHS)))).touch()
        student = Config(dict(model=run.cfg.model.architecture))
        student.dump(run.work_dir / CONFIG_NAME)


def finish(run: TrainingRun, top1: float = 50.0) -> None:
    """Leave a run as it is at its end, but for its log."""
    run.prepare()
    checkpoint = run.checkpoint_of(EPOCHS)
    checkpoint.touch()
    write_json(
        run.work_dir / 'run.json',
        dict(
            fingerprint=run.fingerprint,
            result=dict(
                checkpoint=checkpoint.name,
                accuracy_top1=top1,
                config=run.config,
            ),
        ),
    )
