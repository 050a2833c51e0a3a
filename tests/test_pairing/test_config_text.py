from mmengine.config import Config

from mmdskd.pairing.config_text import write_config


def load(text):
    return Config.fromstring(text, '.py').to_dict()


def test_text():
    shared = dict(type='A', size=(3,))
    text = write_config(
        dict(part=shared, model=dict(part=shared, rest=[1, 'b'])),
        {'part': 'A part', 'model.rest': 'Others:\n  b: 1'},
        'Title',
    )
    assert (
        text
        == """# Title

# A part
part = dict(type='A', size=(3, ))

model = dict(
    part=part,
    # Others:
    #   b: 1
    rest=[1, 'b'])
"""
    )


def test_values_come_back():
    variables = dict(
        texts=['a' * 59 + ' b' * 40, "it's", 'x' * 60, ''],
        nested=dict(keys={'a.b': 1, 2: None}, empty={}, tuples=((), (1, 2))),
        numbers=[1e-5, True, -3],
    )
    text = write_config(variables, {}, 'Any')
    assert load(text) == variables
    assert max(map(len, text.splitlines())) < 80


def test_values_that_are_equal_stay_apart():
    text = write_config(dict(a=dict(b=1), c=dict(a=dict(b=1))), {}, 'Any')
    assert 'c = dict(a=dict(b=1))' in text


def test_long_comments_are_filled():
    text = write_config(dict(a=1), {'a': 'word ' * 30}, 'word ' * 30)
    lines = text.splitlines()
    assert max(map(len, lines)) < 80
    assert sum(line.startswith('# word') for line in lines) == 4
