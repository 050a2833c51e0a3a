import pytest
from networks import ChannelsLast, classifier, vit

from mmdskd.models import DSKDConnector
from mmdskd.pairing.branch_plan import infer_branches
from mmdskd.pairing.head_cost import (
    Head,
    cost_table,
    count_heads,
    count_student,
    narrow_heads,
)

SHAPE = (3, 32, 32)


@pytest.fixture(scope='module')
def plan():
    """A small student of a teacher with 512 channels."""
    teacher = classifier(dict(type='ResNet_CIFAR', depth=18), channels=512)
    return infer_branches(vit(), teacher, SHAPE, branches=2)


def test_parameters_are_those_that_are_built(plan):
    heads = count_heads(plan)
    built = DSKDConnector(**plan.connector).heads
    assert [head.parameters for head in heads] == [
        sum(p.numel() for p in head.parameters()) for head in built
    ]
    # Both branches have the same shape.
    assert heads[0] == heads[1] and heads[0].flops > 0


def test_heads_are_as_narrow_as_the_student_asks_for(plan):
    full = count_heads(plan)
    total = sum(head.flops for head in full)
    assert narrow_heads(plan, None) == (None, full)
    assert narrow_heads(plan, 2 * total) == (None, full)
    # 256 of 512 channels in the default head: half of that, and at least 128.
    narrow = dict(type='mmdskd.SepConvHead', bottleneck_ratio=0.25)
    for student_flops in (2 * total - 2, 1):
        head, heads = narrow_heads(plan, student_flops)
        assert head == narrow
        assert heads == count_heads(plan, narrow)
        assert sum(each.flops for each in heads) < total


def test_flops_of_a_network():
    # Three stages of two linear layers on 8x8, 4x4 and 2x2 positions, and the
    # norm and last layer on 8 channels.
    linear = 64 * (3 * 4 + 4 * 4) + 16 * (4 * 6 + 6 * 6) + 4 * (6 * 8 + 8 * 8)
    found = count_student(ChannelsLast(), (3, 16, 16))
    assert linear + 8 * 5 <= found <= linear + 8 * 5 + 200

    class Untraceable(ChannelsLast):
        def forward(self, x):
            raise RuntimeError('not here')

    assert count_student(Untraceable(), (3, 16, 16)) is None


def test_table(plan):
    heads = [Head(1000, 2_000_000), Head(500, 1_000_000)]
    assert cost_table(plan, heads, 6_000_000).splitlines() == [
        "| branch | feature | head parameters | head FLOPs | of the student's "
        'FLOPs |',
        '|-|-|-|-|-|',
        '| `backbone.layers.2` | 8x4x4 (16 + 1 tokens) | 1,000 | 2.0 M | '
        '33% |',
        '| `backbone.layers.4` | 8x4x4 (16 + 1 tokens) | 500 | 1.0 M | 17% |',
        '| all | to 512x4x4 | 1,500 | 3.0 M | 50% |',
    ]
    assert cost_table(plan, heads, None).endswith('| 3.0 M | ? |')
