"""Accuracy and FLOPs of exits."""

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.structures import DataSample

from mmdskd.analysis.exit_curve import CURVE, draw_curve
from mmdskd.analysis.exits import (
    Costs,
    Outputs,
    count_costs,
    leave,
    run_exits,
    summarize,
    sweep,
)
from mmdskd.analysis.flops import count_flops
from mmdskd.export.multi_exit import find_exits, make_multi_exit_config


@pytest.fixture
def toy():
    """Four images, two exits and the student."""
    outputs = Outputs(
        np.array(
            [[0.9, 0.8, 0.3, 0.2], [0.1, 0.9, 0.6, 0.5], [0.4, 0.4, 0.4, 0.4]]
        ),
        np.array(
            [
                [True, False, False, False],
                [True, True, True, False],
                [True, True, False, True],
            ]
        ),
    )
    costs = Costs(np.array([10, 20, 40]), np.array([1, 2, 0]))
    return outputs, costs


@pytest.mark.parametrize(
    'threshold, accuracy, flops, shares',
    [
        # Exits cost 11, 20 + 1 + 2 = 23 and 40 + 1 + 2 = 43.
        (0, 25, 11, [1, 0, 0]),
        (0.55, 75, (11 + 11 + 23 + 43) / 4, [0.5, 0.25, 0.25]),
        (0.8, 75, (11 + 23 + 43 + 43) / 4, [0.25, 0.25, 0.5]),  # 0.8 stays
        (0.95, 75, 43, [0, 0, 1]),
        (1, 75, 40, [0, 0, 1]),
    ],
)
def test_where_images_leave(toy, threshold, accuracy, flops, shares):
    found = leave(*toy, threshold)
    assert found[0] == accuracy
    assert found[1] == flops
    assert found[2].tolist() == shares


def test_exits_count_in_the_order_of_the_forward(toy):
    outputs, costs = toy
    order = [1, 0, 2]
    other = (
        Outputs(*(values[order] for values in outputs)),
        Costs(*(values[order] for values in costs)),
    )
    for threshold in (0, 0.55, 0.8, 0.95, 1):
        *expected, shares = leave(*toy, threshold)
        *found, theirs = leave(*other, threshold)
        assert found == expected
        assert theirs.tolist() == shares[order].tolist()


def test_flops(dskd_config):
    cfg = make_multi_exit_config(dskd_config, find_exits(dskd_config))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model)
    model.eval()
    image = torch.zeros(1, 1, 16, 16)
    costs = count_costs(model, image)
    # Batch norm costs 2 per value in eval mode.
    stem = 16 * 16 * 4 * (9 + 2)
    layer1 = 16 * 16 * 2 * 4 * (4 * 9 + 2)
    downsample = 8 * 8 * 8 * (4 + 2)
    layer2 = 8 * 8 * 8 * (4 * 9 + 2 + 8 * 9 + 2) + downsample
    assert costs.until[:2].tolist() == [stem + layer1, stem + layer1 + layer2]
    assert costs.until[2] == count_flops(model, image)
    # From 4 x 16 x 16 and 8 x 8 x 8 to 32 x 4 x 4 by a width of 16
    first = (
        4 * 64 * (9 + 2)
        + 16 * 64 * (4 + 2)
        + 16 * 16 * (9 + 2)
        + 16 * 16 * (16 + 2)
    )
    second = 8 * 16 * (9 + 2) + 16 * 16 * (8 + 2)
    top = 32 * 16 * (16 + 2) + 32 * 10
    assert costs.heads.tolist() == [first + top, second + top, 0]
    assert costs.alone.tolist() == (costs.until + costs.heads).tolist()


def test_exits_of_batches(dskd_config):
    """All images, in their order, by the largest probability."""
    cfg = make_multi_exit_config(dskd_config, find_exits(dskd_config))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model).eval()
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(
        256, (6, 1, 16, 16), dtype=torch.uint8, generator=generator
    )
    batches = [
        dict(
            inputs=list(images[start : start + 3]),
            data_samples=[
                DataSample().set_gt_label(label)
                for label in range(start, start + 3)
            ],
        )
        for start in (0, 3)
    ]
    outputs = run_exits(model, batches)
    inputs = model.data_preprocessor(dict(inputs=list(images)), False)[
        'inputs'
    ]
    with torch.no_grad():
        scores = torch.stack(model.exit_logits(inputs)).softmax(-1)
    np.testing.assert_allclose(outputs.confidences, scores.amax(-1), rtol=1e-5)
    assert (
        outputs.rights.tolist()
        == (scores.argmax(-1) == torch.arange(6)).tolist()
    )


def test_numbers(toy):
    """For two seeds, of which the second is always wrong."""
    outputs, costs = toy
    wrong = outputs._replace(rights=np.zeros_like(outputs.rights))
    numbers = summarize(
        ['a', 'b', 'student'], [outputs, wrong], costs, [0.55, 1]
    )
    assert numbers['exits'] == [
        dict(
            name=name,
            accuracy=[top1, 0],
            flops=until + head,
            flops_until_source=until,
            flops_of_head=head,
        )
        for name, top1, until, head in (
            ('a', 25, 10, 1),
            ('b', 75, 20, 2),
            ('student', 75, 40, 0),
        )
    ]
    assert numbers['thresholds'] == [
        dict(
            threshold=0.55,
            accuracy=[75, 0],
            flops=[22, 22],
            shares=[[0.5, 0.25, 0.25]] * 2,
        ),
        dict(
            threshold=1,
            accuracy=[75, 0],
            flops=[40, 40],
            shares=[[0, 0, 1]] * 2,
        ),
    ]


def test_picture(toy):
    """The curve, the marked thresholds below 1, and each exit alone."""
    outputs, costs = toy
    names = ['a', 'b', 'student']
    [axes] = draw_curve(names, [outputs], costs, [0.55, 0.8, 1]).axes
    curve, marked, *alone = axes.lines[:5]
    found = sweep([outputs], costs, [t for t in CURVE if t < 1])
    assert curve.get_xdata().tolist() == (found['flops'][:, 0] / 1e6).tolist()
    assert curve.get_ydata().tolist() == found['accuracy'][:, 0].tolist()
    np.testing.assert_allclose(marked.get_xydata(), [[22e-6, 75], [30e-6, 75]])
    assert [text.get_text() for text in axes.texts] == ['0.55', '0.8']
    assert [line.get_label() for line in alone] == [
        'a, alone: 25.00 %',
        'b, alone: 75.00 %',
        'student, alone: 75.00 %',
    ]


def test_several_labels_have_no_accuracy(dskd_config):
    cfg = make_multi_exit_config(dskd_config, find_exits(dskd_config))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model).eval()
    image = torch.zeros(1, 16, 16, dtype=torch.uint8)
    batch = dict(
        inputs=[image], data_samples=[DataSample().set_gt_label([1, 3])]
    )
    with pytest.raises(
        ValueError,
        match=r'needs one label per image, but got gt_label=\[1, 3\]',
    ):
        run_exits(model, [batch])
