"""Tables of the exits of a student."""

import pytest
import torch
from mmengine.registry import MODELS

from mmdskd.experiments.exit_report import (
    format_exits,
    format_thresholds,
    load_models,
)
from mmdskd.export.multi_exit import find_exits, make_multi_exit_config

NUMBERS = dict(
    exits=[
        dict(name='a', accuracy=[20, 40], flops=1100),
        dict(name='the student', accuracy=[50, 60], flops=4000),
    ],
    thresholds=[
        dict(
            threshold=0.5,
            accuracy=[40, 50],
            flops=[2000, 3000],
            shares=[[0.75, 0.25], [0.25, 0.75]],
        )
    ],
)


def test_exits():
    assert format_exits(NUMBERS).splitlines() == [
        "| exit, alone | top-1 (%) | FLOPs | of the student's |",
        '|-|-|-|-|',
        '| a | 30.00 +- 14.14 | 1,100 | 28% |',
        '| the student | 55.00 +- 7.07 | 4,000 | 100% |',
    ]


def test_thresholds():
    assert format_thresholds(NUMBERS).splitlines() == [
        "| threshold | top-1 (%) | average FLOPs | of the student's | "
        'leave at a | leave at the student |',
        '|-|-|-|-|-|-|',
        '| 0.5 | 45.00 +- 7.07 | 2,500 | 62% | 50% | 50% |',
    ]


def test_file_of_the_plain_student(dskd_config, tmp_path):
    exits = find_exits(dskd_config)
    cfg = make_multi_exit_config(dskd_config, exits)
    path = tmp_path / 'epoch_1_student.pth'
    plain = MODELS.build(dskd_config.model.architecture)
    torch.save(dict(state_dict=plain.state_dict()), path)
    with pytest.raises(
        ValueError,
        match='epoch_1_student.pth should be a checkpoint of this config, but '
        'it leaves .* and the file of the plain one',
    ):
        load_models(cfg, [str(path)])
