import pytest
import yaml
from mmengine.config import Config

from mmdskd.utils.config import load_config
from mmdskd.utils.plain_text import parse_json, parse_yaml

HOSTILE = 'a: !!python/object/apply:os.mkdir [{}]'


@pytest.mark.parametrize('parse', [parse_json, parse_yaml])
def test_deep_nesting(parse):
    assert parse('[' * 100 + ']' * 100)
    with pytest.raises(ValueError, match='more than 200 nested brackets'):
        parse('[' * 100_000)


def test_yaml():
    assert parse_yaml(yaml.dump(dict(a=(1, (2, 3))))) == dict(a=(1, (2, 3)))
    with pytest.raises(ValueError, match='python/name:os.mkdir'):
        parse_yaml('a: !!python/name:os.mkdir')


def test_a_config_in_yaml_runs_no_code(tmp_path):
    made = tmp_path / 'made'
    config = tmp_path / 'a.yaml'
    config.write_text(HOSTILE.format(made))
    with pytest.raises(ValueError) as error:
        load_config(str(config))
    assert f'{config} should be YAML of plain values, but: ' in str(
        error.value
    )
    heir = tmp_path / 'b.py'
    heir.write_text("_base_ = 'a.yaml'\n")
    with pytest.raises(ValueError, match='should be YAML of plain values'):
        load_config(str(heir))
    assert not made.exists()


def test_a_config_that_mmengine_has_dumped(tmp_path):
    config = tmp_path / 'a.yaml'
    Config(dict(a=(1, 2), b=dict(c=None))).dump(str(config))
    assert load_config(str(config)).b.c is None
