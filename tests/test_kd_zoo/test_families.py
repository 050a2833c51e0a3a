"""The families of the KD zoo: names, shapes and logits."""

import numpy as np
import pytest
import torch
from mmengine.runner import load_checkpoint
from test_kd_zoo.weights import empty, fill, images, save
from test_kd_zoo.zoo import NETWORKS, zoo_shapes

from mmdskd.kd_zoo.convert import convert_kd_zoo_checkpoint
from mmdskd.kd_zoo.networks import get_network
from mmdskd.registry import MODELS

BUFFERS = ('running_mean', 'running_var', 'num_batches_tracked')


@pytest.mark.parametrize('zoo_name, name, num_params, shapes', NETWORKS)
def test_finds_and_names_every_network(
    tmp_path, zoo_name, name, num_params, shapes
):
    shapes = shapes(100)
    network, checkpoint, ignored = convert_kd_zoo_checkpoint(
        save(tmp_path, empty(shapes))
    )
    assert network.name == name and network.num_classes == 100
    assert network.num_params == sum(
        np.prod(shape, dtype=int)
        for key, shape in shapes.items()
        if not key.endswith(BUFFERS)
    )
    assert num_params in (None, network.num_params)
    assert ignored == {}
    assert checkpoint['meta']['converted_from'] == dict(
        file='field.pth', arch=name
    )
    # One to one, and nothing of another shape.
    assert sorted(network.zoo_names.values()) == sorted(shapes)
    assert {
        network.zoo_names[key]: tuple(value.shape)
        for key, value in checkpoint['state_dict'].items()
    } == shapes
    # By its name it is the same.
    assert get_network(zoo_name, 100) == network


# The first 3 of 5 logits for each of the images(), which RepDistiller's
# networks gave for fill() in float64.
LOGITS = {
    'resnet20': [
        [3.57979547, -13.1702616, -23.2849852],
        [8.38863082, -28.5567687, -56.1849711],
    ],
    'resnet8x4': [
        [-3.31121489, 2.0403923, -1.16950731],
        [-7.36036747, 2.5011581, -2.99033639],
    ],
    'ResNet50': [
        [152.045504, -199.706605, 18.3637747],
        [272.020083, -338.449349, 28.7088254],
    ],
    'wrn_16_1': [
        [-5.80004072, -1.65428957, -1.27254808],
        [-6.26116843, -1.81024298, -1.59536935],
    ],
    'wrn_16_2': [
        [-11.9363082, -2.38937308, -1.11555497],
        [-12.8358809, -1.49567714, -0.984017019],
    ],
    'vgg8': [
        [0.84093098, 0.860720551, -1.66653387],
        [2.46272702, 0.457610069, -1.94112436],
    ],
    'vgg13': [
        [0.53077912, -1.43417725, 0.506477423],
        [0.701111015, -1.89164234, 0.638038095],
    ],
    'MobileNetV2': [
        [-61.351261, -220.840249, -239.10932],
        [-35.7658171, -173.439068, -198.783216],
    ],
    'ShuffleV1': [
        [69.1921309, 15.9426794, -119.09563],
        [121.005066, 15.3286499, -207.740008],
    ],
    'ShuffleV2': [
        [8.36625898, -0.0816458377, 1.26059721],
        [14.0082246, -1.01295763, 4.04452298],
    ],
}


@pytest.mark.parametrize('zoo_name', LOGITS)
def test_logits_are_those_of_the_zoo(tmp_path, zoo_name):
    path = save(tmp_path, fill(zoo_shapes(zoo_name)))
    network, checkpoint, _ = convert_kd_zoo_checkpoint(path)
    assert network.num_classes == 5
    converted = str(tmp_path / 'converted.pth')
    torch.save(checkpoint, converted)
    classifier = MODELS.build(network.model)
    load_checkpoint(classifier, converted, strict=True)
    classifier.eval().double()
    with torch.no_grad():
        logits = classifier.head(classifier.extract_feat(images()))[:, :3]
    expected = torch.tensor(LOGITS[zoo_name], dtype=torch.float64)
    torch.testing.assert_close(logits, expected, rtol=1e-6, atol=1e-6)
