from types import SimpleNamespace

import pytest

from mmdskd.models.utils.num_classes import find_num_classes


@pytest.mark.parametrize(
    'network, expected',
    [
        (None, None),
        (SimpleNamespace(), None),
        (SimpleNamespace(head=SimpleNamespace(num_classes=7)), 7),
        (SimpleNamespace(head=SimpleNamespace()), None),
        # TorchvisionClassifier, whose head has no layers
        (SimpleNamespace(head=SimpleNamespace(), num_classes=7), 7),
        # TimmClassifier
        (SimpleNamespace(model=SimpleNamespace(num_classes=7)), 7),
        (SimpleNamespace(model=SimpleNamespace(num_classes=0)), None),
        # HuggingFaceClassifier
        (
            SimpleNamespace(
                model=SimpleNamespace(config=SimpleNamespace(num_labels=7))
            ),
            7,
        ),
    ],
)
def test_numbers(network, expected):
    assert find_num_classes(network) == expected
