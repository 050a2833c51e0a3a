"""Every single mistake in a config is told, with path, value and rule."""

import copy
from pathlib import Path

import pytest
from mmengine.config import Config
from test_engine.test_checks.mutations.table import (
    MISSING,
    list_mutations,
    mutate,
)

from mmdskd.engine.checks.config_check import (
    ConfigError,
    check_config,
    merge_options,
)

CONFIGS = Path(__file__).parents[3] / 'configs'
CONFIG = CONFIGS / 'dskd/digits/dskd_resnet20_resnet8-thin_1xb64_digits.py'
MUTATIONS = list_mutations()


def _name(mutation) -> str:
    return ','.join(
        f'{path}={"missing" if value is MISSING else value}'[:80]
        for path, value in mutation.changes.items()
    )


@pytest.fixture(scope='module')
def valid() -> Config:
    cfg = Config.fromfile(CONFIG)
    heads = cfg.model.distiller.connectors.heads
    heads.head = dict(type='mmdskd.ConvHead', kernel_size=3)
    check_config(cfg)
    return cfg


@pytest.mark.parametrize('mutation', MUTATIONS, ids=map(_name, MUTATIONS))
def test_a_mistake_is_told(valid, mutation):
    cfg = copy.deepcopy(valid)
    with pytest.raises(ConfigError) as raised:
        if mutation.are_options:
            merge_options(cfg, mutation.changes)
        else:
            for path, value in mutation.changes.items():
                mutate(cfg._cfg_dict, path, value)
        check_config(cfg)
    message = str(raised.value)
    for fragment in mutation.fragments:
        assert fragment.replace('[+]', '[3]') in message


def test_there_are_many_mutations():
    different = {repr((m.changes, m.are_options)) for m in MUTATIONS}
    assert len(different) >= 500
