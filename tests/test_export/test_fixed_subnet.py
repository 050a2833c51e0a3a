import pickle

import pytest

from mmdskd.export.fixed_subnet import read_subnet

HOSTILE = '!!python/object/apply:os.mkdir [{}]'


class MakesFolder:
    """Whoever unpickles it makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return eval, (f'__import__("os").mkdir({self.path!r})',)


def test_widths_in_json_and_yaml(tmp_path):
    for name, text in [
        ('a.json', '{"a": {"chosen": 4}}'),
        ('a.yaml', 'a: {chosen: 4}'),
        ('a.yml', 'a: {chosen: 4}'),
    ]:
        path = tmp_path / name
        path.write_text(text)
        assert read_subnet(str(path)) == {'a': {'chosen': 4}}
    with pytest.raises(FileNotFoundError):
        read_subnet(str(tmp_path / 'no.json'))


@pytest.mark.parametrize('name', ['a.pkl', 'a.pickle', 'a.json', 'a.yaml'])
def test_no_code_runs(tmp_path, name):
    made = tmp_path / 'made'
    path = tmp_path / name
    # Protocol 0 is text, so that its content reaches the parsers.
    path.write_bytes(pickle.dumps(MakesFolder(str(made)), protocol=0))
    with pytest.raises(ValueError, match='^fix_subnet should be a file '):
        read_subnet(str(path))
    path.write_text(HOSTILE.format(made))
    with pytest.raises(ValueError, match='^fix_subnet should be a file '):
        read_subnet(str(path))
    assert not made.exists()


def test_messages(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text('[1]')
    with pytest.raises(ValueError) as error:
        read_subnet(str(path))
    assert str(error.value) == (
        f'fix_subnet should be a file of a dict, but {path} holds [1]'
    )
    with pytest.raises(ValueError) as error:
        read_subnet('widths.pkl')
    assert str(error.value) == (
        'fix_subnet should be a file .json, .yaml, .yml, such as '
        'fix_subnet.json of MMRazor, but got widths.pkl. Other kinds, such '
        'as pickles, could run code'
    )
