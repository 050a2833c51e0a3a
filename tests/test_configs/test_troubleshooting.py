"""docs/troubleshooting.md: its settings, and the figures that it computes."""

import re
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from mmdskd.experiments.statistics import (
    format_mean_std,
    paired_difference,
    sample_std,
)
from mmdskd.models import DSKDLoss
from mmdskd.utils.arguments import parse_options
from mmdskd.utils.config import load_config

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / 'docs/troubleshooting.md').read_text()
BLOCKS = re.findall(r'```bash\n--cfg-options (.*?)```', PAGE, re.DOTALL)
# Arguments of DSKDLoss that the config leaves at their defaults.
ADDED = ('schedule',)
CONFIG = 'configs/dskd/digits/dskd_resnet20_resnet8-thin_1xb64_digits.py'


def test_there_are_settings():
    assert len(BLOCKS) == len(re.findall('--cfg-options [^`]', PAGE)) > 4


@pytest.mark.parametrize('block', BLOCKS)
def test_settings_are_those_of_a_config(block):
    """A misspelt key would set nothing."""
    cfg = load_config(str(ROOT / CONFIG))
    for key in parse_options(block.replace('\\\n', '').split()):
        node = cfg
        for part in key.split('.'):
            if part in ADDED:
                assert part in signature(DSKDLoss).parameters
                assert node.type == 'mmdskd.DSKDLoss'
                continue
            node = node[int(part) if part.isdigit() else part]


def read_case():
    """Top-1 by seed, and what the page says of it, of each method."""
    table = PAGE.partition('| | seed 0')[2].partition('\n\n')[0]
    for line in table.splitlines()[2:]:
        *top1, mean = (cell.strip() for cell in line.split('|')[2:-1])
        yield [float(cell) for cell in top1 if cell], mean


def test_case_of_four_seeds():
    for top1, mean in read_case():
        assert format_mean_std(top1) == mean
    student, kd, dskd, uniform = (top1 for top1, _ in read_case())
    text = ' '.join(PAGE.split())
    for sentence, first, second in (
        ('KD - student is {}', kd, student),
        (': {}. Seed 0 alone', dskd, kd),
        ('ahead of KD by {}', uniform, kd[:3]),
    ):
        mean, low, high = paired_difference(first, second)
        difference = f'{mean:+.2f} [{low:+.2f}, {high:+.2f}]'
        assert sentence.format(difference) in text
    differences = np.subtract(dskd, kd)
    assert f's of DSKD - KD is {sample_std(differences):.2f} points' in text


def test_how_many_seeds():
    rows = re.findall(r'^\| (\d+) \| (\d\.\d\d) \| (\d\.\d\d) \|$', PAGE, re.M)
    assert [int(n) for n, *_ in rows] == [3, 5, 10, 20, 30, 50]
    for seeds, half, found in rows:
        n = int(seeds)
        t = stats.t.ppf(0.975, n - 1)
        assert float(half) == pytest.approx(t / n**0.5, abs=0.006)
        # The power of the test at this difference, in standard deviations
        power = stats.nct.sf(t, n - 1, float(found) * n**0.5)
        assert power == pytest.approx(0.8, abs=0.02)
