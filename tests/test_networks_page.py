"""The configs of docs/networks.md are of networks that DSKD can use."""

import re
from pathlib import Path

import pytest
from mmengine.config import ConfigDict
from mmengine.registry import MODELS

from mmdskd.pairing.network_outline import NetworkOutline

PAGE = Path(__file__).resolve().parents[1] / 'docs/networks.md'
BLOCKS = dict(
    re.findall(
        r'\n## (A [^\n]+)\n[^#]*?```python\n(.*?)```',
        PAGE.read_text(),
        re.DOTALL,
    )
)
EXPECTED = {
    'A teacher of timm': ('timm', 'model.layer1', 'model.fc'),
    'A student of timm': ('timm', 'backbone.timm_model.layer1', 'head.fc'),
    'A teacher of Hugging Face': (
        'transformers',
        'model.resnet.encoder.stages.0',
        'model.classifier.1',
    ),
    'A student of torchvision': (
        'torchvision',
        'model.features.1',
        'model.classifier.3',
    ),
}


def test_page_has_each_kind():
    assert list(BLOCKS) == list(EXPECTED)


@pytest.mark.parametrize('title', EXPECTED)
def test_short_config(title, tmp_path):
    library, branch, logits = EXPECTED[title]
    pytest.importorskip(library)
    model = {}
    exec(BLOCKS[title], model)
    assert len(BLOCKS[title].splitlines()) <= 8
    model = ConfigDict(model['model'])
    if library == 'transformers':
        from transformers import ResNetConfig

        ResNetConfig(layer_type='basic', depths=[1, 1, 1, 1]).save_pretrained(
            tmp_path
        )
        model.model_name = str(tmp_path)
    outline = NetworkOutline(MODELS.build(model), (3, 64, 64))
    assert outline.num_classes == 10
    assert outline.find_branches()[0].name == branch
    assert outline.logits == logits
