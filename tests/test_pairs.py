"""Every pair of docs/pairs.md gets a config that trains."""

import logging
import re
import warnings
from pathlib import Path

import pytest
from mmengine.logging import MMLogger

from mmdskd.pairing.dry_run import try_training
from mmdskd.pairing.dskd_config import DSKDConfig
from mmdskd.pairing.source_config import load_source_config

ROOT = Path(__file__).resolve().parents[1]
ROWS = re.findall(
    r'^\| `(.+?)` \| `(.+?)` \| (.+) \| (.+) \|$',
    (ROOT / 'docs/pairs.md').read_text(),
    re.MULTILINE,
)
# What ``make test`` runs: each direction between CNNs and transformers, with
# light networks, Swin's tokens beside their grid, and configs of our own.
QUICK = {
    ('mobilenet-v3-small_8xb128_in1k', 'densenet121_3rdparty_in1k'),
    ('shufflenet-v2-1x_16xb64_in1k', 't2t-vit-t-14_8xb64_in1k'),
    ('deit-tiny_4xb256_in1k', 'efficientnet-b0_3rdparty_8xb32_in1k'),
    ('deit-tiny_4xb256_in1k', 'deit-small-distilled_3rdparty_in1k'),
    ('resnet18_8xb32_in1k', 'swin-tiny_16xb64_in1k'),
    (
        'configs/vanilla/cifar100/vgg8_1xb64_cifar100.py',
        'configs/vanilla/cifar100/resnet32x4_1xb64_cifar100.py',
    ),
}


def test_enough_pairs():
    pairs = {(student, teacher) for student, teacher, _, _ in ROWS}
    assert len(pairs) == len(ROWS) >= 40
    assert pairs >= QUICK and len(QUICK) == 6


@pytest.fixture(autouse=True)
def quiet():
    """Leave out how each parameter is initialised."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield
    logger.setLevel(level)


@pytest.mark.parametrize(
    'student, teacher, branches, target',
    [
        pytest.param(
            *row,
            id='-'.join(Path(name).stem.partition('_')[0] for name in row[:2]),
            marks=() if row[:2] in QUICK else pytest.mark.slow,
        )
        for row in ROWS
    ],
)
def test_pair(student, teacher, branches, target, monkeypatch):
    monkeypatch.chdir(ROOT)
    made = DSKDConfig(*map(load_source_config, (student, teacher)))

    def describe(features):
        return ', '.join(f'`{f.name}` {f.shape}' for f in features)

    assert describe(made.plan.branches) == branches
    assert describe([made.plan.target]) == target
    losses = try_training(
        made.load(), made.image_shape, made.plan.student.num_classes
    )
    assert len(losses) == 2
    assert all(each['distill.loss_dskd'] > 0 for each in losses)
