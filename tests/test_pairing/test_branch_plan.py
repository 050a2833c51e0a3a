import pytest
import torch
from networks import Parallel, classifier, hrnet, swin, vit

from mmdskd.models import DSKDConnector
from mmdskd.pairing.branch_plan import connector_arguments, find_stride
from mmdskd.pairing.feature import Feature
from mmdskd.pairing.network_outline import NetworkOutline
from mmdskd.utils import infer_branches

SHAPE = (3, 64, 64)


def resnet(num_classes=7, **kwargs):
    return classifier(
        dict(type='ResNet', depth=18, **kwargs),
        dict(type='LinearClsHead', num_classes=num_classes, in_channels=512),
    )


@pytest.mark.parametrize(
    'student, teacher, expected',
    [
        (
            resnet,
            swin,
            dict(
                in_channels=[64, 128, 256], strides=[4, 2, 1], out_channels=64
            ),
        ),
        (
            swin,
            resnet,
            dict(
                in_channels=[8, 16, 32],
                strides=[16, 8, 4],
                layouts='NLC',
                out_channels=512,
            ),
        ),
        (hrnet, hrnet, dict(in_channels=[18], strides=[8], out_channels=2048)),
    ],
)
def test_connector_takes_what_is_inferred(student, teacher, expected):
    student, teacher = student().eval(), teacher().eval()
    plan = infer_branches(student, teacher, SHAPE)
    assert plan.connector == dict(expected, num_classes=7)
    heads = DSKDConnector(**plan.connector)
    modules = dict(student.named_modules())
    features, targets = [], []
    handles = [
        modules[name].register_forward_hook(
            lambda *args: features.append(args[-1])
        )
        for name in plan.sources
    ] + [
        dict(teacher.named_modules())[plan.target.name].register_forward_hook(
            lambda *args: targets.append(args[-1])
        )
    ]
    images = torch.rand(2, *SHAPE)
    student(images), teacher(images)
    target = plan.target.layout.to_map(targets[0])
    for branch in heads(features):
        assert branch.feat.shape == target.shape
        assert branch.logits.shape == (2, 7)
    assert len(handles) == len(plan.branches) + 1


def test_named_branches_and_feature():
    plan = infer_branches(
        resnet(),
        resnet(),
        (3, 64, 64),
        branches=['backbone.layer2.0'],
        teacher_feature='backbone.layer3',
    )
    assert plan.sources == ['backbone.layer2.0']
    assert plan.connector == dict(
        in_channels=[128], strides=[2], out_channels=256, num_classes=7
    )
    with pytest.raises(
        KeyError,
        match="'backbone.layer9' is not a module of "
        'the student; did you mean backbone.layer',
    ):
        infer_branches(resnet(), resnet(), SHAPE, branches=['backbone.layer9'])
    with pytest.raises(ValueError, match="'head.fc' of the teacher gives no"):
        infer_branches(resnet(), resnet(), SHAPE, teacher_feature='head.fc')


def test_self_distillation_runs_the_network_once():
    network = resnet()
    plan = infer_branches(network, network, SHAPE)
    assert plan.teacher is plan.student
    assert plan.target.name == 'backbone.layer4'


def test_what_does_not_fit():
    with pytest.raises(
        ValueError,
        match='should have the same classes, but the student has 7 and '
        r'the teacher 5\. If one is still to be trained, set num_classes of '
        'its head. Fine-tune the teacher on the data of the student first: '
        'head.num_classes=7 and ',
    ):
        infer_branches(resnet(), resnet(num_classes=5), SHAPE)
    with pytest.raises(
        RuntimeError,
        match='the teacher, a ImageClassifier, does not '
        r'run on images of shape \(3, 64, 64\)',
    ):
        infer_branches(resnet(), resnet(in_channels=1), SHAPE)
    with pytest.raises(
        ValueError,
        match='The last feature of the teacher, a Parallel, is not clear.*'
        'name the module by teacher_feature; choose from stages.0, ',
    ):
        network = Parallel()
        infer_branches(network, network, (3, 16, 16))


@pytest.mark.parametrize(
    'grid, target, stride',
    [
        ((56, 56), (7, 7), 8),
        ((14, 14), (14, 14), 1),
        ((7, 7), (4, 4), 2),
        ((7, 7), (14, 14), 0.5),
        ((14, 14), (16, 16), None),
        ((16, 8), (4, 4), None),
        ((12, 8), (4, 4), None),
        ((9, 6), (3, 2), 3),
        ((75, 75), (10, 10), 8),
        ((65, 65), (9, 9), 8),  # three halvings of 65: 33, 17, 9
    ],
)
def test_strides(grid, target, stride):
    assert find_stride(grid, target) == stride


def test_sizes_that_are_no_multiples_are_pooled():
    layout = NetworkOutline(vit(), (3, 32, 32)).last.layout
    features = [Feature('a', layout, 8, (14, 14), 2)]
    target = Feature('b', layout, 6, (16, 16), 2)
    arguments = connector_arguments(features, target)
    assert arguments == dict(
        in_channels=[8],
        out_size=(16, 16),
        layouts=dict(order='NLC', num_extra_tokens=1),
        out_channels=6,
        num_classes=None,
    )
    (branch,) = DSKDConnector(**arguments)([torch.rand(2, 197, 8)])
    assert branch.feat.shape == (2, 6, 16, 16)


class TestFrozenStages:
    """A head on what does not learn teaches nothing."""

    @pytest.mark.parametrize(
        'stages, branches, names',
        [
            (1, None, ['layer2', 'layer3']),
            (2, None, ['layer3']),
            (1, 2, ['layer2', 'layer3']),
            (-1, None, ['layer1', 'layer2', 'layer3']),
        ],
    )
    def test_they_get_no_branch(self, stages, branches, names):
        student = resnet(frozen_stages=stages)
        plan = infer_branches(student, resnet(), SHAPE, branches)
        assert plan.sources == [f'backbone.{name}' for name in names]
        assert ('backbone.layer1' in plan.frozen) == (stages > 0)

    def test_a_frozen_teacher_teaches(self):
        plan = infer_branches(resnet(), resnet(frozen_stages=4), SHAPE)
        assert plan.target.name == 'backbone.layer4'
        assert plan.frozen == set()

    def test_frozen_modules_that_are_named(self):
        with pytest.raises(
            ValueError,
            match="'backbone.layer1' of the student should learn, but it is "
            'frozen, so that a head on it teaches nothing: set another '
            'frozen_stages of the backbone, or name another module',
        ):
            infer_branches(
                resnet(frozen_stages=1),
                resnet(),
                SHAPE,
                ['backbone.layer2', 'backbone.layer1'],
            )

    def test_nothing_learns(self):
        student = resnet(frozen_stages=4)
        with pytest.raises(
            ValueError,
            match='the student should have a shallow layer that learns, but '
            'all of them are frozen: set another frozen_stages of its '
            'backbone, or name modules that follow; frozen are '
            'backbone.layer1, backbone.layer2, backbone.layer3',
        ):
            infer_branches(student, resnet(), SHAPE)
