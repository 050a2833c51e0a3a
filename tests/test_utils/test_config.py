import copy

import pytest
from mmengine.config import Config

from mmdskd.models import DSKDLoss
from mmdskd.utils.config import add_import, is_named, type_name


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


@pytest.mark.parametrize(
    'config, expected',
    [
        (dict(type='DSKDLoss'), True),
        (dict(type='mmdskd.DSKDLoss'), True),
        (dict(type='mmdskd.models.DSKDLoss'), True),
        (dict(type=DSKDLoss), True),
        (dict(type='mine.DSKDLoss'), False),
        (dict(type='mine.mmdskd.DSKDLoss'), False),
        (dict(type=type('DSKDLoss', (), {})), False),
        (dict(type='mmdskd.OtherLoss'), False),
        (dict(num_branches=2), False),
        (None, False),
    ],
)
def test_name_with_its_package(config, expected):
    assert is_named(config, 'mmdskd.DSKDLoss') == expected


@pytest.mark.parametrize(
    'custom_imports, expected',
    [
        (None, dict(imports=['mmdskd'], allow_failed_imports=False)),
        (
            dict(imports='mine'),
            dict(imports=['mmdskd', 'mine'], allow_failed_imports=False),
        ),
        (
            dict(imports=['mine', 'mmdskd'], allow_failed_imports=True),
            dict(imports=['mine', 'mmdskd'], allow_failed_imports=True),
        ),
    ],
)
def test_import_is_added_once(custom_imports, expected):
    before = copy.deepcopy(custom_imports)
    assert add_import(custom_imports) == expected
    assert custom_imports == before
