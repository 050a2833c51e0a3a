"""Rows of the table of branches, and the page that shows them."""

import re
from pathlib import Path

import pytest
import torch

from mmdskd.pairing.branch_table import (
    HEADER,
    describe_branches,
    find_branches,
)
from mmdskd.registry import MODELS
from mmdskd.utils.config import load_config
from mmdskd.utils.text import format_header, format_row

ROOT = Path(__file__).resolve().parents[2]
SHAPE = (1, 16, 16)
# Title, shape, pattern of the configs, and table of each section of the page.
SECTIONS = re.findall(
    r'## (.+)\n\n`python tools/misc/branch_table.py --shape (\S+) (.+)`\n\n'
    r'((?:\|.+\n)+)',
    (ROOT / 'docs/branches.md').read_text(),
)
HEAD = dict(type='mmdskd.ConvHead', kernel_size=1)
BRANCHES = '`backbone.layer1` 4x16x16, `backbone.layer2` 8x8x8'


def test_page_has_every_data_set():
    folders = {
        re.search('dskd/(.+)/', pattern)[1] for _, _, pattern, _ in SECTIONS
    }
    assert folders == {
        path.name
        for path in (ROOT / 'configs/dskd').iterdir()
        if path.is_dir()
    }


@pytest.mark.parametrize(
    'shape, pattern, table',
    [
        pytest.param(
            *section,
            id=title,
            marks=()
            if title.startswith(('Digits', 'Fashion'))
            else pytest.mark.slow,
        )
        for title, *section in SECTIONS
    ],
)
def test_page_shows_the_configs(shape, pattern, table):
    rows = [
        row
        for path in sorted(ROOT.glob(pattern))
        for row in describe_branches(
            path.stem,
            load_config(str(path)),
            tuple(map(int, shape.split(','))),
        )
    ]
    assert table.splitlines() == [
        *format_header(HEADER).splitlines(),
        *map(format_row, rows),
    ]


def test_row(dskd_config):
    """Every number of a config where each stage keeps its size."""
    distiller = dskd_config.model.distiller
    distiller.connectors.heads.update(head=HEAD, strides=[1, 1])
    dskd_config.model.teacher.backbone.strides = (1, 1, 1)
    dskd_config.model.architecture.backbone.strides = (1, 1, 1)
    [row] = describe_branches('tiny', dskd_config, (1, 4, 6))
    # A 1x1 convolution and a classifier: 32 x C_l, its batch norm, 10 x 32.
    parameters = 32 * (4 + 8) + 2 * (2 * 32 + 10 * 32 + 10)
    assert row[:4] == (
        '`tiny`',
        '`backbone.layer1` 4x4x6, `backbone.layer2` 8x4x6',
        '32x4x6',
        f'{parameters:,}',
    )


def test_predictions_alone(dskd_config):
    """Without feat_loss no feature of the teacher is needed, but the heads
    are as large."""
    [with_feat] = describe_branches('x', dskd_config.copy(), SHAPE)
    distiller = dskd_config.model.distiller
    del distiller.distill_losses.loss_dskd['feat_loss']
    del distiller.loss_forward_mappings.loss_dskd['feat_T']
    [row] = describe_branches('x', dskd_config, SHAPE)
    assert row == (*with_feat[:2], '-', *with_feat[3:])
    assert with_feat[1:3] == (BRANCHES, '32x4x4')


def test_labels_alone(dskd_config):
    distiller = dskd_config.model.distiller
    distiller.distill_losses.loss_dskd = dict(
        type='mmdskd.DSKDLoss',
        num_branches=2,
        label_loss=dict(type='mmpretrain.CrossEntropyLoss'),
    )
    mapping = distiller.loss_forward_mappings.loss_dskd
    del mapping['feat_T'], mapping['preds_T']
    [row] = describe_branches('x', dskd_config, SHAPE)
    assert row[1:3] == (BRANCHES, '-')


def test_features_alone(dskd_config):
    distiller = dskd_config.model.distiller
    [with_logits] = describe_branches('x', dskd_config.copy(), SHAPE)
    del distiller.distill_losses.loss_dskd['logit_loss']
    del distiller.loss_forward_mappings.loss_dskd['preds_T']
    distiller.connectors.heads.num_classes = None
    [row] = describe_branches('x', dskd_config, SHAPE)
    assert row[1:3] == (BRANCHES, '32x4x4')
    # The classifiers are gone: 10 classes of 32 channels.
    saved = number(with_logits[3]) - number(row[3])
    assert saved == 2 * (10 * 32 + 10)


def number(cell: str) -> int:
    return int(cell.replace(',', ''))


def test_without_a_teacher(dskd_config):
    """The last layer of the student teaches."""
    model = dskd_config.model
    model.type = 'mmrazor.SelfDistill'
    model.pop('teacher')
    model.distiller.connectors.heads.out_channels = 16
    [row] = describe_branches('x', dskd_config, SHAPE)
    assert row[1:3] == (BRANCHES, '16x4x4')


def test_several_losses(dskd_config):
    """One row each, also with nothing in common, and "auto" filled in."""
    distiller = dskd_config.model.distiller
    distiller.student_recorders.first = dict(
        type='mmdskd.MultiModuleOutputs', sources=['backbone.layer1']
    )
    distiller.connectors.heads_feat = dict(
        type='mmdskd.DSKDConnector', in_channels='auto', head=HEAD
    )
    distiller.distill_losses.loss_feat = dict(
        type='mmdskd.DSKDLoss', feat_loss=dict(type='L2Loss')
    )
    distiller.loss_forward_mappings.loss_feat = dict(
        branches=dict(
            from_student=True, recorder='first', connector='heads_feat'
        ),
        feat_T=dict(from_student=False, recorder='feat'),
    )
    first, second = describe_branches('x', dskd_config, SHAPE)
    assert first[1:3] == (BRANCHES, '32x4x4')
    assert second[1:4] == (
        '`backbone.layer1` 4x16x16',
        '32x4x4',
        f'{32 * 4 + 2 * 32}',
    )


def test_tokens_are_shown_as_maps(dskd_config):
    """Whatever the layout of the recorded features is."""
    distiller = dskd_config.model.distiller
    distiller.student_recorders.shallow.sources = ['backbone.layers.0']
    distiller.connectors.heads.update(
        in_channels=[192],
        strides=[2],
        out_channels=32,
        layouts=dict(order='NLC', num_extra_tokens=1),
    )
    distiller.distill_losses.loss_dskd.num_branches = 1
    dskd_config.model.architecture = dict(
        type='ImageClassifier',
        _scope_='mmpretrain',
        backbone=dict(
            type='VisionTransformer',
            arch='deit-tiny',
            img_size=16,
            patch_size=2,
            in_channels=1,
        ),
        head=dict(
            type='VisionTransformerClsHead', num_classes=10, in_channels=192
        ),
    )
    distiller.student_recorders.logits.source = 'head.layers.head'
    [row] = describe_branches('x', dskd_config, SHAPE)
    assert row[1:3] == ('`backbone.layers.0` 192x8x8', '32x4x4')


def test_student_that_can_not_be_traced(dskd_config, monkeypatch):
    monkeypatch.setattr(
        'mmdskd.pairing.branch_table.count_student', lambda *args: None
    )
    [row] = describe_branches('x', dskd_config, SHAPE)
    assert row[-1] == '?'


def test_config_without_dskd(kd_config):
    plain = kd_config.copy()
    plain.model = kd_config.model.architecture
    for cfg in (kd_config, plain):
        with pytest.raises(ValueError, match='x should have a mmdskd.DSKDLos'):
            describe_branches('x', cfg, SHAPE)
    plain.pop('model')
    with pytest.raises(ValueError, match='x should have a model'):
        describe_branches('x', plain, SHAPE)


def test_branches_of_another_connector(dskd_config):
    algorithm = MODELS.build(dskd_config.model)
    distiller = algorithm.distiller
    del distiller.loss_forward_mappings['loss_dskd']['branches']['connector']
    with pytest.raises(ValueError, match='but None is a NoneType'):
        find_branches(algorithm, torch.zeros(1, *SHAPE))


def test_other_shape_of_images(dskd_config):
    with pytest.raises(ValueError, match=r'but \(3, 16, 16\) does not fit: '):
        describe_branches('x', dskd_config, (3, 16, 16))


def test_tool(run_tool, dskd_config, tmp_path, capsys):
    path = tmp_path / 'tiny.py'
    dskd_config.dump(path)
    run_tool('misc/branch_table.py', '--shape', '1,16,16', path)
    *_, row = capsys.readouterr().out.splitlines()
    assert row.startswith(f'| `tiny` | {BRANCHES} | 32x4x4 | ')


@pytest.mark.parametrize(
    'shape, config, message',
    [
        ('3,32', 'no.py', "such as 3,32,32, but got '3,32'"),
        ('3,32,0', 'no.py', "such as 3,32,32, but got '3,32,0'"),
        ('3,a,32', 'no.py', "such as 3,32,32, but got '3,a,32'"),
        ('3x32x32', 'no.py', "such as 3,32,32, but got '3x32x32'"),
        ('1,16,16', 'no.py', 'branch_table.py: no.py: '),
    ],
)
def test_tool_with_wrong_arguments(run_tool, shape, config, message, capsys):
    with pytest.raises(SystemExit) as error:
        run_tool('misc/branch_table.py', '--shape', shape, config)
    assert message in f'{capsys.readouterr().err}{error.value}'
