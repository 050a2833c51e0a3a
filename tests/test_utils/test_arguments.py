import argparse

import pytest
from mmengine.config import Config

from mmdskd.utils.arguments import (
    add_cfg_options,
    add_force,
    fraction,
    override_settings,
    parse_options,
    parse_shape,
    whole_number,
)


@pytest.fixture
def parse():
    parser = argparse.ArgumentParser()
    add_cfg_options(parser)
    add_force(parser)
    return lambda *words: parser.parse_args(words)


def test_settings(parse):
    args = parse('--cfg-options', 'a.b=1', 'c=[x,(2,3)]', 'd=a=b', 'e=')
    assert args.cfg_options == {
        'a.b': 1,
        'c': ['x', (2, 3)],
        'd': 'a=b',
        'e': '',
    }
    assert parse().cfg_options is None
    assert parse('--force').force and not parse().force


@pytest.mark.parametrize('text', ['seed', '=1', 'a..b=1', '.a=1', 'a.=1'])
def test_what_is_no_setting(parse, text, capsys):
    message = (
        'each setting should be KEY=VALUE, such as randomness.seed=1, but '
        f'got {text!r}'
    )
    with pytest.raises(SystemExit):
        parse('--cfg-options', 'x=1', text)
    assert message in capsys.readouterr().err
    with pytest.raises(ValueError, match=message):
        parse_options(['x=1', text])


@pytest.mark.parametrize('text', ['a=[1', 'a=(1,[2)', 'b.c=1,2)'])
def test_brackets_that_are_no_pairs(parse, text, capsys):
    with pytest.raises(SystemExit):
        parse('--cfg-options', text)
    assert f'the brackets of {text!r} should be in pairs' in (
        capsys.readouterr().err
    )


def test_options_are_read_as_a_tool_does():
    assert parse_options(['a=1', 'b.c=[1,2]']) == {'a': 1, 'b.c': [1, 2]}
    with pytest.raises(ValueError, match='should be KEY=VALUE'):
        parse_options(['--help'])


def test_settings_are_merged():
    cfg = Config(dict(a=dict(b=1, c=2), d=[dict(e=1)]))
    override_settings(cfg, None)
    override_settings(cfg, {'a.b': 3, 'd.0.e': 4, 'f.g': 5})
    assert cfg.to_dict() == dict(a=dict(b=3, c=2), d=[dict(e=4)], f=dict(g=5))
    # All at once: what is deleted is what was there.
    override_settings(cfg, {'a.h': 6, 'a._delete_': True})
    assert cfg.a.to_dict() == dict(h=6)


@pytest.mark.parametrize(
    'key, end',
    [
        ('seed.x', "seed is 1, which has no 'x'"),
        (
            'hooks.2.type',
            'hooks is a list of 1, whose items are numbered from 0, but got '
            "'2'",
        ),
        ('hooks.type', "hooks is a list of 1, .* but got 'type'"),
    ],
)
def test_setting_that_leads_nowhere(key, end):
    cfg = Config(dict(seed=1, hooks=[dict(type='A')]))
    with pytest.raises(
        ValueError,
        match=f'--cfg-options {key} should be a setting of the config, but '
        f'{end}',
    ):
        override_settings(cfg, {'good': 1, key: 3})


@pytest.mark.parametrize('text', ['0', '1', '0.5', '1e-3'])
def test_fraction(text):
    assert fraction(text) == float(text)


@pytest.mark.parametrize('text', ['-0.1', '1.5', 'nan', 'inf', 'x', ''])
def test_what_is_no_fraction(text):
    with pytest.raises(
        argparse.ArgumentTypeError,
        match=rf'should be a number in \[0, 1\], but got {text!r}',
    ):
        fraction(text)


@pytest.mark.parametrize(
    'text', ['3,32', '3,32,32,1', 'a,b,c', '0,32,32', '3,-1,3', '3,1.5,3', '']
)
def test_what_is_no_shape(text):
    assert parse_shape('3,32,32') == (3, 32, 32)
    with pytest.raises(
        argparse.ArgumentTypeError, match=f'3,32,32, but got {text!r}'
    ):
        parse_shape(text)


@pytest.mark.parametrize('text', ['0', '-1', '1.5', 'two', '', 'inf'])
def test_what_is_no_whole_number(text):
    assert whole_number(1)('7') == 7
    with pytest.raises(
        argparse.ArgumentTypeError,
        match=f'should be a whole number >= 1, but got {text!r}',
    ):
        whole_number(1)(text)
