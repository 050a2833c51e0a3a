import math
from urllib.error import URLError

import pytest
import torch
from mmengine.registry import MODELS
from mmpretrain.structures import DataSample
from torchvision import models
from torchvision.models import ResNet18_Weights

from mmdskd.models import TorchvisionClassifier
from mmdskd.models.utils.num_classes import find_num_classes

NAME = 'mmdskd.TorchvisionClassifier'


def build(**cfg):
    return MODELS.build(dict(type=NAME, _scope_='mmpretrain', **cfg))


@pytest.fixture(scope='module')
def classifier():
    return build(model_name='shufflenet_v2_x0_5', num_classes=3)


def samples():
    return [DataSample().set_gt_label(label) for label in (2, 0)]


def test_it_is_the_network_of_torchvision(classifier):
    network = models.shufflenet_v2_x0_5(num_classes=3)
    weights = {
        name.removeprefix('model.'): tensor
        for name, tensor in classifier.state_dict().items()
    }
    network.load_state_dict(weights)
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        ours, theirs = classifier.eval()(images), network.eval()(images)
    assert torch.equal(ours, theirs)
    assert ours.shape == (2, 3)


def test_number_of_classes(classifier):
    assert find_num_classes(classifier) == 3
    assert find_num_classes(build(model_name='squeezenet1_1')) == 1000


def test_modes(classifier):
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        logits = classifier.eval()(images)
        loss = classifier(images, samples(), mode='loss')['loss']
        predicted = classifier(images, samples(), mode='predict')
    scores = logits.softmax(1)
    expected = -(math.log(scores[0, 2]) + math.log(scores[1, 0])) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    for sample, score in zip(predicted, scores):
        assert torch.allclose(sample.pred_score, score)
        assert sample.pred_label.item() == score.argmax()
    with pytest.raises(RuntimeError, match='"predict", but got "logits"'):
        classifier(images, mode='logits')


def test_several_labels_per_image():
    classifier = build(
        model_name='squeezenet1_1',
        num_classes=3,
        head=dict(type='MultiLabelClsHead'),
    )
    data = [DataSample().set_gt_label([0, 2]) for _ in range(2)]
    for sample in data:
        sample.set_field(3, 'num_classes', field_type='metainfo')
    images = torch.rand(2, 3, 32, 32)
    assert classifier(images, data, mode='loss')['loss'] > 0


def test_batch_augmentations():
    augments = dict(augments=[dict(type='mmpretrain.Mixup', alpha=1.0)])
    classifier = build(
        model_name='squeezenet1_1',
        num_classes=3,
        train_cfg=augments,
        data_preprocessor=dict(mean=[1.0], std=[2.0], num_classes=3),
    )
    data = dict(inputs=[torch.rand(3, 32, 32)] * 2, data_samples=samples())
    prepared = classifier.data_preprocessor(data, training=True)
    assert 'gt_score' in prepared['data_samples'][0]


def test_pretrained_weights(monkeypatch):
    """All but the classifier, which is of another number of classes."""
    theirs = models.resnet18(num_classes=1000).state_dict()
    monkeypatch.setattr(
        ResNet18_Weights, 'get_state_dict', lambda self, **kwargs: theirs
    )
    classifier = build(model_name='resnet18', num_classes=3, pretrained=True)
    ours = classifier.model.state_dict()
    assert all(
        torch.equal(ours[name], tensor)
        for name, tensor in theirs.items()
        if not name.startswith('fc.')
    )
    assert ours['fc.weight'].shape == (3, 512)


def test_weights_that_can_not_be_downloaded(monkeypatch):
    def fail(self, **kwargs):
        raise URLError('no network')

    monkeypatch.setattr(ResNet18_Weights, 'get_state_dict', fail)
    with pytest.raises(
        OSError,
        match=r'pretrained=True needs https://.*resnet18-\w+.pth, but it can '
        r'not be downloaded \(.*no network.*\): put the file into the folder '
        'hub/checkpoints of TORCH_HOME, or set pretrained=False',
    ):
        build(model_name='resnet18', pretrained=True)


@pytest.mark.parametrize(
    'cfg, message',
    [
        (
            dict(model_name='resnet81'),
            "classifier of torchvision, but got 'resnet81'; did you mean "
            "'resnet18'",
        ),
        # It segments images.
        (dict(model_name='fcn_resnet50'), "but got 'fcn_resnet50'"),
        (dict(model_name=18), 'model_name should be a string .* got 18'),
        (
            dict(model_name='resnet18', pretrained='True'),
            "pretrained should be True or False, but got 'True'",
        ),
        (
            dict(model_name='resnet18', num_classes=0),
            'num_classes should be a whole number >= 1, but got 0',
        ),
        (
            dict(model_name='resnet18', weights='DEFAULT'),
            'no argument "weights": set pretrained=True',
        ),
        (
            dict(model_name='googlenet', init_weights=False),
            'googlenet should return its logits alone in training, .* set '
            'aux_logits=False',
        ),
    ],
)
def test_wrong_arguments(cfg, message):
    with pytest.raises((TypeError, ValueError), match=message):
        TorchvisionClassifier(**cfg)
