import pytest
from matplotlib.figure import Figure

from mmdskd.analysis.picture import check_picture_name, save_figure


@pytest.mark.parametrize(
    'name, start', [('a.png', b'\x89PNG'), ('a.PDF', b'%PDF'), ('b.svg', b'<')]
)
def test_picture_is_written(name, start, tmp_path):
    save_figure(Figure(), tmp_path / name, 20)
    assert (tmp_path / name).read_bytes().startswith(start)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize('name', ['dskd', 'dskd.txt', 'dskd.', '.png/x'])
def test_name_tells_the_format(name, tmp_path):
    with pytest.raises(
        ValueError,
        match='picture should end with its format, such as dskd.png '
        rf"\(one of .*eps, .*svg.*\), but got '{name}'",
    ):
        check_picture_name(name)


def test_failure_leaves_the_old_picture(tmp_path, monkeypatch):
    path = tmp_path / 'a.png'
    path.write_text('old')

    def fail(self, file, **kwargs):
        file.write(b'new')
        raise OSError('disk full')

    monkeypatch.setattr(Figure, 'savefig', fail)
    with pytest.raises(OSError, match='disk full'):
        save_figure(Figure(), path, 20)
    assert path.read_text() == 'old'
