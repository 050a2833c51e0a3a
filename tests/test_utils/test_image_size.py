import pytest
from torch import nn

from mmdskd.utils.image_size import advise_size, find_size_argument


def network(**attributes):
    module = nn.Sequential(nn.Identity(), nn.Identity())
    for name, value in attributes.items():
        setattr(module[1], name, value)
    return module


@pytest.mark.parametrize(
    'attributes, found',
    [
        (dict(img_size=(224, 192)), ('img_size', (224, 192))),
        (dict(image_size=224), ('image_size', (224, 224))),
        (dict(img_size=None), None),
        (dict(image_size='224'), None),
        (dict(), None),
    ],
)
def test_size_that_a_network_is_built_for(attributes, found):
    assert find_size_argument(network(**attributes)) == found


def test_advice():
    vit = network(img_size=(224, 224))
    assert advise_size(vit, (32, 32)) == (
        'It is built for images of 224x224: set img_size=32 beside its '
        'model_name or arch, or resize the images to 224x224'
    )
    assert 'set img_size=(32, 48) beside' in advise_size(vit, (32, 48))
    assert advise_size(vit, (224, 224)) == ''
    assert advise_size(network(), (32, 32)) == ''
