"""Made-up results, in the form in which the demo leaves them."""

import json
from pathlib import Path

CONFIG = 'configs/{}/digits/{}_resnet20_resnet8-thin_1xb64_digits.py'


def make_run(method, seed, curve, options=(), **changes):
    """A run that is validated every second epoch."""
    return dict(
        dict(
            method=method,
            seed=seed,
            accuracy_top1=curve[-1],
            params=5142,
            seconds=60.0,
            config=CONFIG.format(method, method),
            checkpoint=f'work_dirs/seed{seed}/{method}/epoch_6.pth',
            options=list(options),
            top1_by_epoch={
                f'{2 * i}': top1 for i, top1 in enumerate(curve, 1)
            },
            threads=1,
            torch='2.0.0',
        ),
        **changes,
    )


def make_runs():
    """Three seeds. DSKD - KD is 1, 2 and 3; KD ends at 91 on average."""
    teacher = make_run(
        'teacher',
        0,
        [98.0],
        config='configs/vanilla/digits/resnet20_1xb64_digits.py',
        params=272186,
    )
    curves = dict(
        student=[[60.0, 70.0, 80.0 + i] for i in range(3)],
        kd=[[70.0, 80.0, 90.0 + i] for i in range(3)],
        dskd=[[80.0, 90.0 + i, 91.0 + 2 * i] for i in range(3)],
    )
    runs = [
        make_run(method, seed, curves[method][seed])
        for seed in range(3)
        for method in curves
    ]
    return [teacher, *runs]


def by_seed(method, *curves):
    return {
        seed: make_run(method, seed, curve)
        for seed, curve in enumerate(curves)
    }


def write_results(path: Path, runs) -> Path:
    path.write_text(json.dumps(runs))
    return path
