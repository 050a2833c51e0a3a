"""Networks of other libraries, and the page that shows them."""

import re
from pathlib import Path

import pytest

from mmdskd.pairing.branch_plan import BranchPlan
from mmdskd.pairing.network_table import HEADER, OtherNetwork, look_at
from mmdskd.pairing.other_networks import LIBRARIES
from mmdskd.utils.text import format_header, format_row
from mmdskd.version import satisfies

ROOT = Path(__file__).resolve().parents[2]
# Library, version and table of each section of the page.
SECTIONS = {
    library: (version, table.splitlines())
    for library, version, table in re.findall(
        r'\n(\w+) (\S+): `python tools/misc/network_table.py \w+`\n\n'
        r'((?:\|.+\n)+)',
        (ROOT / 'docs/networks.md').read_text(),
    )
}
CASES = [
    (library, network)
    for library, networks in LIBRARIES.items()
    for network in networks
]
# What ``make test`` runs: light networks of 20 families.
QUICK = {
    'timm': {
        'resnet10t',
        'resnetv2_18',
        'regnetx_002',
        'dla46_c',
        'efficientnet_lite0',
        'mobilenetv2_035',
        'mobilenetv3_small_050',
        'mobilenetv4_conv_small_035',
        'convnext_zepto_rms',
        'mambaout_femto',
        'mobilevit_xxs',
        'vit_tiny_patch16_224',
        'deit_tiny_distilled_patch16_224',
        'vit_small_patch14_reg4_dinov2',
        'cait_xxs24_224',
        'swin_tiny_patch4_window7_224',
        'maxvit_rmlp_pico_rw_256',
        'pvt_v2_b0',
        'hiera_tiny_224',
        'tnt_s_legacy_patch16_224',
    },
    'torchvision': {
        'resnet18',
        'squeezenet1_1',
        'mobilenet_v3_small',
        'shufflenet_v2_x0_5',
        'swin_t',
    },
    'transformers': {'resnet', 'vit', 'swin'},
}


def test_page_has_every_network():
    for library, networks in LIBRARIES.items():
        _, table = SECTIONS[library]
        assert table[:2] == format_header(HEADER).splitlines()
        assert [row.split(' | ')[1] for row in table[2:]] == [
            f'`{network.name}`' for network in networks
        ]
        names = {network.name for network in networks}
        assert len(names) == len(networks)
        assert names >= QUICK[library]


def test_page_shows_what_works():
    """All networks in both roles, but one: its blocks hand on two tensors."""
    refused = [
        row
        for _, table in SECTIONS.values()
        for row in table
        if 'refused' in row
    ]
    assert len(refused) == 1
    assert refused[0].startswith('| TNT | `tnt_s_legacy_patch16_224` | ')
    assert refused[0].count('refused: ') == 1


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize(
    'library, network',
    [
        pytest.param(library, network, id=f'{library}-{network.name}')
        for library, network in CASES
        if network.name in QUICK[library]
    ],
)
def test_quick_networks(library, network, tmp_path):
    check(library, network, tmp_path, train=False)


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize(
    'library, network',
    [
        pytest.param(library, network, id=f'{library}-{network.name}')
        for library, network in CASES
    ],
)
def test_networks(library, network, tmp_path):
    check(library, network, tmp_path, train=True)


def check(library, network, folder, train):
    installed = pytest.importorskip(library).__version__.partition('+')[0]
    version, table = SECTIONS[library]
    if library == 'transformers' and satisfies(installed, '<5'):
        pytest.skip('it has other networks')
    found = look_at(network, library, str(folder), train)
    [row] = [row for row in table if f' `{network.name}` ' in row]
    if installed == version:
        assert format_row(found.to_row(network)) == row
    # Another version has other names of modules.
    cells = row.split(' | ')
    for cell, plan in zip(cells[3:], found):
        assert isinstance(plan, BranchPlan) == ('refused' not in cell)


def test_both_roles_are_trained(tmp_path):
    network = OtherNetwork('ShuffleNetV2', 'shufflenet_v2_x0_5')
    found = look_at(network, 'torchvision', str(tmp_path), train=True)
    assert found.to_row(network) == (
        'ShuffleNetV2',
        '`shufflenet_v2_x0_5`',
        '64',
        '`model.stage2` 48x8x8, `model.stage3` 96x4x4',
        '`model.conv5` 1024x2x2',
    )


def test_network_that_does_not_run(tmp_path):
    network = OtherNetwork('ViT', 'vit_b_32', 48, dict(image_size=64))
    found = look_at(network, 'torchvision', str(tmp_path))
    for problem in found:
        assert problem.startswith('refused: the ')
        assert problem.endswith(
            'a TorchvisionClassifier, does not run on images of shape '
            '(3, 48, 48) (AssertionError'
        )


def test_tool(run_tool, capsys):
    run_tool('misc/network_table.py', 'torchvision', 'shufflenet_v2_x0_5')
    *header, row = capsys.readouterr().out.splitlines()
    assert header == format_header(HEADER).splitlines()
    assert row.startswith('| ShuffleNetV2 | `shufflenet_v2_x0_5` | 64 | `mod')
    with pytest.raises(
        SystemExit, match='names should be of resnet18, .* got'
    ):
        run_tool('misc/network_table.py', 'torchvision', 'resnet81')
