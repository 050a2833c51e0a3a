import importlib.util
import re
from pathlib import Path

import pytest

from mmdskd.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / 'tools/misc/branch_table.py'
# Title, command, and table of each section of the page.
SECTIONS = re.findall(
    r'## (.+)\n\n`python tools/misc/branch_table.py (.+)`\n\n((?:\|.+\n)+)',
    (ROOT / 'docs/branches.md').read_text(),
)
HEAD = dict(type='mmdskd.ConvHead', kernel_size=1)


@pytest.fixture
def tool(monkeypatch, capsys):
    """Run the tool, and return what it prints."""
    spec = importlib.util.spec_from_file_location('branch_table', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(*arguments):
        monkeypatch.setattr('sys.argv', ['branch_table.py', *arguments])
        module.main()
        return capsys.readouterr().out

    run.module = module
    return run


def test_page_has_every_data_set():
    folders = {
        re.search('dskd/(.+)/', command)[1] for _, command, _ in SECTIONS
    }
    assert folders == {
        path.name
        for path in (ROOT / 'configs/dskd').iterdir()
        if path.is_dir()
    }


@pytest.mark.parametrize(
    'title, command, table',
    [
        pytest.param(
            *section,
            id=section[0],
            marks=() if section[0].startswith('Digits') else pytest.mark.slow,
        )
        for section in SECTIONS
    ],
)
def test_page_is_what_the_tool_prints(
    title, command, table, tool, monkeypatch
):
    monkeypatch.chdir(ROOT)
    *options, pattern = command.split()
    configs = map(str, sorted(Path().glob(pattern)))
    assert tool(*options, *configs) == table


def test_row(tool, dskd_config, tmp_path):
    """Shapes and parameters of a config where every stage keeps its size."""
    heads = dskd_config.model.distiller.connectors.heads
    heads.head = HEAD
    heads.strides = [1, 1]
    # The teacher keeps the size.
    dskd_config.model.teacher.backbone.strides = (1, 1, 1)
    dskd_config.model.architecture.backbone.strides = (1, 1, 1)
    path = tmp_path / 'tiny.py'
    dskd_config.dump(path)
    row = tool('--shape', '1,4,6', str(path)).splitlines()[-1]
    cells = [cell.strip() for cell in row.strip('|').split('|')]
    connector = MODELS.build(heads)
    parameters = sum(p.numel() for p in connector.parameters())
    assert cells[:4] == [
        '`tiny`',
        '`backbone.layer1` 4x4x6, `backbone.layer2` 8x4x6',
        '32x4x6',
        f'{parameters:,}',
    ]


@pytest.mark.parametrize('shape', ['3,32', '3,32,0', '3,a,32', '3x32x32'])
def test_wrong_shape(tool, shape, capsys):
    with pytest.raises(SystemExit):
        tool('--shape', shape, 'any.py')
    assert (
        'should be channels, height and width of an image, such as '
        f"3,32,32, but got '{shape}'"
    ) in capsys.readouterr().err


def test_config_without_dskd(tool, kd_config, dump):
    plain = kd_config.copy()
    plain.model = kd_config.model.architecture
    for cfg in (kd_config, plain):
        with pytest.raises(SystemExit, match='should have a mmdskd.DSKDLoss'):
            tool('--shape', '1,16,16', dump(cfg))


def test_wrong_file_and_channels(tool, dskd_config, dump):
    with pytest.raises(SystemExit, match='no.py'):
        tool('--shape', '1,16,16', 'no.py')
    with pytest.raises(
        SystemExit, match=r'--shape should be .*\(3, 16, 16\) does not'
    ):
        tool('--shape', '3,16,16', dump(dskd_config))
