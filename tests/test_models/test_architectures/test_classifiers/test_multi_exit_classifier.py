import copy
import pickle

import pytest
import torch
from exit_networks import NETWORKS, build, connector, linear, scores
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from torch import nn

from mmdskd.models import MultiExitClassifier


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


@pytest.mark.parametrize('shrink_batch', [True, False])
@pytest.mark.parametrize('name', NETWORKS)
def test_gated_forward_is_that_of_the_exits(name, shrink_batch):
    """Three of nine images leave at each exit, and each has the result that
    this exit gives in a forward of all."""
    model, images, after = build(name, shrink_batch=shrink_batch)
    expected = scores(model, images)
    sure = expected[:-1].amax(dim=2)
    first = sure[0].sort(descending=True)[0][2:4].mean()
    rest = sure[1][sure[0] <= first]
    second = rest.sort(descending=True)[0][2:4].mean()
    model.thresholds = [first.item(), second.item()]
    sizes = []
    model.get_submodule(after).register_forward_pre_hook(
        lambda module, args: sizes.append(len(args[0]))
    )
    samples = model.predict(images)
    exits = torch.tensor([sample.exit_index for sample in samples])
    assert exits.bincount().tolist() == [3, 3, 3]
    assert torch.equal(exits == 0, sure[0] > first)
    assert sizes == [3 if shrink_batch else 9]
    for i, sample in enumerate(samples):
        torch.testing.assert_close(
            sample.pred_score, expected[sample.exit_index, i]
        )
        assert sample.pred_label.tolist() == [
            expected[sample.exit_index, i].argmax()
        ]


@pytest.mark.parametrize('shrink_batch', [True, False])
@pytest.mark.parametrize('name', NETWORKS)
def test_forward_stops_when_all_have_left(name, shrink_batch):
    model, images, after = build(name, threshold=0, shrink_batch=shrink_batch)
    runs = []
    model.get_submodule(after).register_forward_pre_hook(
        lambda *args: runs.append('backbone')
    )
    model.head.register_forward_pre_hook(lambda *args: runs.append('head'))
    model.exits.heads[1].register_forward_pre_hook(
        lambda *args: runs.append('exit 1')
    )
    expected = scores(model, images)
    assert runs == ['exit 1', 'backbone', 'head']
    runs.clear()
    for sample, score in zip(model.predict(images), expected[0]):
        assert sample.exit_index == 0
        torch.testing.assert_close(sample.pred_score, score)
    assert runs == []
    # Nothing stays behind: the next forward is a whole one.
    model(images)
    assert runs == ['backbone', 'head']


@pytest.mark.parametrize('name', NETWORKS)
def test_threshold_1_is_the_plain_student(name):
    """Bit for bit, and no head is computed, however sure they are."""
    model, images, _ = build(name, threshold=1)
    for head in model.exits.heads:
        head.classifier.bias.data[0] = 1e4  # a confidence of exactly 1
    assert scores(model, images)[:-1].amax(dim=2).min() == 1
    expected = ImageClassifier.predict(model, images)
    for head in model.exits.heads:
        head.forward = None
    for sample, plain in zip(model.predict(images), expected):
        assert torch.equal(sample.pred_score, plain.pred_score)
        assert torch.equal(sample.pred_label, plain.pred_label)
        assert sample.exit_index == 2


def test_modes_are_those_of_the_plain_student():
    model, images, _ = build('CIFARResNet', threshold=0)
    [feat] = model.extract_feat(images)
    assert feat.shape == (9, 16)
    logits = model(images)
    assert torch.equal(logits, model.head((feat,)))
    assert torch.equal(logits, model.exit_logits(images)[-1])
    plain = ImageClassifier.predict(model, images)
    assert torch.equal(
        torch.stack([s.pred_score for s in plain]), logits.softmax(dim=1)
    )


def test_exit_logits_are_those_of_the_distillation():
    model, images, _ = build('CIFARResNet')
    features = []
    for source in model.sources:
        model.get_submodule(source).register_forward_hook(
            lambda module, args, output: features.append(output)
        )
    found = model.exit_logits(images)[:-1]
    assert len(found) == 2
    for ours, branch in zip(found, model.exits(features)):
        assert torch.equal(ours, branch.logits)


def test_samples_keep_their_labels():
    model, images, _ = build('CIFARResNet')
    model.thresholds = [scores(model, images)[0].amax(1).median().item(), 1]
    given = [DataSample().set_gt_label(i) for i in range(9)]
    found = model.predict(images, given)
    assert {sample.exit_index for sample in found} == {0, 2}
    assert all(ours is sample for ours, sample in zip(found, given))
    assert [sample.gt_label.item() for sample in found] == list(range(9))


def test_threshold_of_each_exit():
    model, images, _ = build('CIFARResNet', threshold=[1, 0])
    assert [s.exit_index for s in model.predict(images)] == 9 * [1]


def test_copies_and_pickles_go_on_alone():
    model, images, _ = build('CIFARResNet', threshold=0)
    expected = torch.stack([s.pred_score for s in model.predict(images)])
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        nn.init.zeros_(other.exits.heads[0].classifier.weight)
        nn.init.zeros_(other.exits.heads[0].classifier.bias)
        found = torch.stack([s.pred_score for s in other.predict(images)])
        assert torch.equal(found, torch.full((9, 10), 0.1))
    assert torch.equal(
        expected, torch.stack([s.pred_score for s in model.predict(images)])
    )


def test_half_precision():
    model, images, _ = build('CIFARResNet')
    with torch.autocast('cpu', torch.bfloat16):
        model.thresholds = 2 * [
            scores(model, images)[0].amax(1).median().item()
        ]
        exits = {sample.exit_index for sample in model.predict(images)}
    assert 0 in exits and len(exits) > 1


class Residual(nn.Module):
    """Adds a stage to what came before it."""

    def __init__(self):
        super().__init__()
        self.stage = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return (x + self.stage(x),)


@pytest.mark.parametrize('left', [1, 4, 8])
def test_backbone_that_needs_the_whole_batch(left):
    """Torch tells it, but for one image, which is broadcast."""
    model, images, _ = build(
        'CIFARResNet',
        backbone=Residual(),
        head=linear(3),
        exits=dict(sources=['backbone.stage'], connector=connector(3)),
    )
    model.shrink_batch = False
    expected = scores(model, images)
    sure = expected[0].amax(dim=1).sort(descending=True)[0]
    model.thresholds = [sure[left - 1 : left + 1].mean().item()]
    samples = model.predict(images)
    assert sum(sample.exit_index == 0 for sample in samples) == left
    for i, sample in enumerate(samples):
        torch.testing.assert_close(
            sample.pred_score, expected[sample.exit_index, i]
        )
    model.shrink_batch = True
    with pytest.raises(RuntimeError, match='or set shrink_batch=False') as e:
        model.predict(images)
    assert str(e.value).startswith(
        'The backbone ends with 9 samples where 1 are left'
        if left == 8
        else f'The forward fails after {left} of 9 samples have left'
    )
    # And it is as before.
    assert torch.equal(scores(model, images), expected)


def test_it_is_not_trained():
    model, images, _ = build('CIFARResNet')
    samples = [DataSample().set_gt_label(0) for _ in images]
    with pytest.raises(NotImplementedError, match='and not be trained'):
        model(images, samples, mode='loss')


@pytest.mark.parametrize('threshold', [-0.1, 1.1, [0.5], [0.5, 2], 'high'])
def test_wrong_threshold(threshold):
    with pytest.raises(
        ValueError, match=r'number in \[0, 1\], or 2 of them, one per'
    ):
        build('CIFARResNet', threshold=threshold)


@pytest.mark.parametrize(
    'exits, error, message',
    [
        (
            dict(sources=['backbone.layer1']),
            ValueError,
            'of sources and connect',
        ),
        (
            dict(sources=['backbone.layer1'], connector=connector(4, 8)),
            ValueError,
            'one head per source, but got 2 heads',
        ),
        (
            dict(sources=['backbone.layr1'], connector=connector(4)),
            KeyError,
            "did you mean 'backbone.layer1'",
        ),
        (
            dict(sources='backbone.layer1', connector=connector(4)),
            TypeError,
            'sources should be a list of module names, but got '
            "'backbone.layer1'",
        ),
        (
            dict(
                sources=['backbone.layer1'],
                connector=dict(connector(4), num_classes=None),
            ),
            ValueError,
            'into 10 classes, but their num_classes is None',
        ),
        (
            dict(
                sources=['backbone.layer1'],
                connector=dict(connector(4), num_classes=9),
            ),
            ValueError,
            'into 10 classes, but their num_classes is 9',
        ),
        (
            dict(
                sources=['backbone.layer1'],
                connector=dict(
                    type='mmdskd.FeatureMapConnector', layout='NCHW'
                ),
            ),
            TypeError,
            'should be a DSKDConnector, but got FeatureMapConnector',
        ),
    ],
)
def test_wrong_exits(exits, error, message):
    with pytest.raises(error, match=message):
        build('CIFARResNet', exits=exits)


def test_source_that_does_not_run():
    model, images, _ = build('CIFARResNet')
    model.aside = nn.Identity()
    model.sources[1] = 'aside'
    with pytest.raises(RuntimeError, match='aside of sources should run'):
        model.exit_logits(images)
    # Then nobody leaves there.
    model.thresholds = [1, 0]
    assert [s.exit_index for s in model.predict(images)] == 9 * [2]


def test_it_is_a_classifier_of_mmpretrain():
    assert issubclass(MultiExitClassifier, ImageClassifier)


def test_a_head_of_several_labels():
    head = dict(type='MultiLabelLinearClsHead', num_classes=10, in_channels=16)
    with pytest.raises(
        ValueError,
        match='The head of a MultiExitClassifier should give one label per '
        'image, as exits compare softmax probabilities, but '
        'MultiLabelLinearClsHead gives several',
    ):
        build('CIFARResNet', head=head)
