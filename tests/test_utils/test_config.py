import pytest
from mmengine.config import Config

from mmdskd.models import DSKDLoss
from mmdskd.utils.config import type_name


@pytest.mark.parametrize(
    'config, expected',
    [
        (dict(type='DSKDLoss'), 'DSKDLoss'),
        (dict(type='mmdskd.DSKDLoss'), 'DSKDLoss'),
        (dict(type='mmdskd.models.DSKDLoss'), 'DSKDLoss'),
        (dict(type=DSKDLoss), 'DSKDLoss'),
        (dict(num_branches=2), 'other'),
        (dict(type=None), 'other'),
        (None, 'other'),
    ],
)
def test_type_name(config, expected):
    assert type_name(config, 'other') == expected


def test_type_of_a_pure_python_config(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(
        'from mmdskd.models import DSKDLoss\nloss = dict(type=DSKDLoss)\n'
    )
    assert type_name(Config.fromfile(path).loss) == 'DSKDLoss'
