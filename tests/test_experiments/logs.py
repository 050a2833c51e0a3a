"""Write what MMEngine leaves of a run."""

import json
from pathlib import Path

from mmengine.config import Config

from mmdskd.utils.files import find_project_folder

START = '20260101_120000'
TOY = 'kd_big_small_1xb64_toys'
KD = 'kd_resnet20_resnet8-thin_1xb64_digits'


def write_log(run: Path, lines, start=START) -> Path:
    """Write the log of a session."""
    path = run / start / 'vis_data/scalars.json'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(json.dumps(line) + '\n' for line in lines))
    return path


def train_line(step, epoch=None, loss=1.0):
    by_epoch = {} if epoch is None else dict(epoch=epoch)
    return dict(loss=loss, **by_epoch, iter=step, step=step)


def val_line(step, top1):
    return {'accuracy/top1': top1, 'step': step}


def write_session(run, top1, start=START, first_epoch=1, **settings):
    """Write the log of epochs of 14 iterations, and the config beside it."""
    lines = []
    for epoch, value in enumerate(top1, first_epoch):
        lines += [train_line(14 * epoch, epoch), val_line(epoch, value)]
    path = write_log(run, lines, start)
    Config(settings).dump(path.with_name('config.py'))


def write_run(
    run, seed, top1, config=TOY, max_epochs=3, start=START, **settings
):
    """Write a run of a config that the project doesn't have."""
    settings = dict(
        dict(
            train_cfg=dict(by_epoch=True, max_epochs=max_epochs),
            randomness=dict(seed=seed),
            work_dir=str(run),
        ),
        **settings,
    )
    write_session(run, top1, start, **settings)
    Config(settings).dump(run / f'{config}.py')
    return run


def write_run_of_project(run, seed, last, **options):
    """Write a run of a config in ``configs/``: 50 %, but in the end."""
    config = find_project_folder('configs') / f'kd/digits/{KD}.py'
    cfg = Config.fromfile(config)
    cfg.merge_from_dict({'randomness.seed': seed, **options})
    top1 = [50.0] * (cfg.train_cfg.max_epochs - 1) + [last]
    write_session(run, top1, **cfg.to_dict())
    cfg.dump(run / f'{KD}.py')


def write_dskd_run(run, top1, losses=(), offset=0.0, branches=2):
    """Write a log of 4 epochs of 6 iterations, logged after the fifth, with
    losses and weights of branches in the given terms of each DSKDLoss."""
    lines = []
    for epoch in range(1, 5):
        line = train_line(6 * epoch - 1, epoch)
        for loss, terms in losses:
            for i, term in enumerate(terms):
                for j in range(branches):
                    value = 1 + epoch + 10 * i + 100 * j + offset
                    line[f'{loss}.{term}_{j}'] = value
                    line[f'{loss}.weight_{term}_{j}'] = value / 1000
        lines += [line, val_line(epoch, top1 + epoch)]
    write_log(run, lines)
    return run


def write_recorder_config(run, **loss_dskd):
    """Leave a config beside the log that tells where the branches attach."""
    distiller = dict(
        student_recorders=dict(
            shallow=dict(sources=['backbone.layer1', 'backbone.layer2'])
        ),
        distill_losses=dict(loss_dskd=loss_dskd),
        loss_forward_mappings=dict(
            loss_dskd=dict(
                branches=dict(from_student=True, recorder='shallow')
            )
        ),
    )
    Config(dict(model=dict(distiller=distiller))).dump(
        run / START / 'vis_data/config.py'
    )
