"""Load the exits of DSKD runs, and write their numbers as tables."""

from collections.abc import Sequence
from typing import Optional

import numpy as np
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import MODELS, init_default_scope

from mmdskd.cli import check_checkpoint
from mmdskd.engine.checks.loaded_weights import (
    PartialCheckpointError,
    describe_report,
    find_cause,
)
from mmdskd.export import multi_exit
from mmdskd.models import MultiExitClassifier
from mmdskd.pairing.auto import resolve_auto
from mmdskd.utils.checkpoint import load_checkpoint_file
from mmdskd.utils.load_whole import load_whole
from mmdskd.utils.text import format_header, format_row

from .statistics import format_mean_std


def load_models(
    cfg: Config, checkpoints: Sequence[str], loss: Optional[str] = None
) -> tuple[Config, list[MultiExitClassifier]]:
    """Load the multi-exit students.

    Args:
        cfg (Config): Config of a DSKD run, or of a multi-exit student.
        checkpoints (Sequence[str]): Paths of checkpoints of that run, or of
            that student.
        loss (str, optional): DSKD loss whose heads are the exits. None means
            the only one. Defaults to None.

    Returns:
        tuple[Config, list[MultiExitClassifier]]: Their config and the
        students, in eval mode.

    Raises:
        CheckpointError: If a checkpoint can't be read.
        FileNotFoundError: If a checkpoint is missing.
        ValueError: If the config is neither that of a DSKD run nor that of a
            multi-exit student, or a checkpoint does not fit.
    """
    exits = None
    if 'exits' not in cfg.get('model', {}):
        exits = multi_exit.find_exits(resolve_auto(cfg), loss)
        cfg = multi_exit.make_multi_exit_config(cfg, exits)
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    models = []
    for path in checkpoints:
        check_checkpoint(path)
        checkpoint = load_checkpoint_file(path)
        if exits is not None:
            checkpoint = multi_exit.extract_multi_exit(checkpoint, exits)
        model = MODELS.build(cfg.model)
        weights = checkpoint.get('state_dict', checkpoint)
        report = load_whole(model, weights)
        if not report.is_whole:
            raise PartialCheckpointError(
                f'{path} should be a checkpoint of this config, but it '
                f'{describe_report(report, model, weights)}. '
                f'{find_cause(report, model, weights)}'
            )
        models.append(model.to(get_device()).eval())
    return cfg, models


def format_exits(numbers: dict[str, list[dict]]) -> str:
    """Write accuracy and FLOPs of each exit alone as a table.

    Args:
        numbers (dict): Of :func:`mmdskd.analysis.exits.summarize`.

    Returns:
        str: The table in Markdown.
    """
    exits = numbers['exits']
    plain = exits[-1]['flops']
    rows = [
        (
            row['name'],
            format_mean_std(row['accuracy']),
            f'{row["flops"]:,}',
            f'{row["flops"] / plain:.0%}',
        )
        for row in exits
    ]
    header = ('exit, alone', 'top-1 (%)', 'FLOPs', "of the student's")
    return '\n'.join([format_header(header), *map(format_row, rows)])


def format_thresholds(numbers: dict[str, list[dict]]) -> str:
    """Write accuracy and average FLOPs of thresholds as a table.

    Args:
        numbers (dict): Of :func:`mmdskd.analysis.exits.summarize`.

    Returns:
        str: The table in Markdown, with the share of the images that leaves
        at each exit.
    """
    exits = numbers['exits']
    header = (
        'threshold',
        'top-1 (%)',
        'average FLOPs',
        "of the student's",
        *(f'leave at {row["name"]}' for row in exits),
    )
    rows = []
    for row in numbers['thresholds']:
        flops = np.mean(row['flops'])
        rows.append(
            (
                f'{row["threshold"]:g}',
                format_mean_std(row['accuracy']),
                f'{flops:,.0f}',
                f'{flops / exits[-1]["flops"]:.0%}',
                *(f'{share:.0%}' for share in np.mean(row['shares'], axis=0)),
            )
        )
    return '\n'.join([format_header(header), *map(format_row, rows)])
