import pytest
import torch
from torch import nn

from mmdskd.export.deployable import Graph
from mmdskd.export.export_check import (
    Comparison,
    Images,
    compare,
    prepare_images,
)
from mmdskd.export.exporters import ExportError


class Preprocessor(nn.Module):
    def forward(self, data, training):
        return dict(inputs=data['inputs'].float() / 10)


class Network(nn.Module):
    """Gives the means of the channels."""

    def __init__(self):
        super().__init__()
        self.data_preprocessor = Preprocessor()

    def forward(self, images, mode):
        assert mode == 'tensor'
        return images.mean((2, 3))


@pytest.mark.parametrize(
    'number, batch, sizes',
    [
        (64, None, [1, 2, 7, 16, 16, 16, 6]),
        (10, None, [1, 2, 7]),
        (4, None, [1, 2, 7]),
        (5, 2, [2, 2, 2]),
        (1, 3, [3]),
    ],
)
def test_sizes_of_batches(number, batch, sizes):
    found = []
    inputs = torch.arange(number).reshape(-1, 1, 1, 1).float()
    seen = set()

    def run(images):
        found.append(len(images))
        seen.update(images.flatten().tolist())
        return [images.flatten(1)]

    result = compare(run, Images(inputs, [inputs.flatten(1)]), batch)
    assert found == sizes
    assert seen == set(range(number))
    assert result.images == result.agreeing == number
    assert result.sizes == tuple(sorted(set(sizes)))
    assert result.difference == result.relative == 0


def test_difference_of_the_worst_output():
    inputs = torch.zeros(2, 1, 1, 1)
    expected = [
        torch.tensor([[1.0, 2.0], [0.0, -4.0]]),
        torch.tensor([[10.0, 0.0], [0.0, 10.0]]),
    ]
    ours = [expected[0].clone(), torch.tensor([[10.5, 0.0], [10.0, 9.0]])]
    ours[0][1, 0] = 1

    def run(images):
        return ours

    result = compare(run, Images(inputs, expected), 2)
    # Relative: 1 of 4 in the first output, 10 of 10 in the second
    assert result == Comparison(10, 10, 2, 1, (2,))
    assert str(result) == (
        'largest difference 10 of outputs up to 10 (1.0e+00), same class for '
        '1 of 2 images, in batches of 2'
    )


def test_nan_is_the_largest_difference():
    inputs = torch.zeros(1, 1, 1, 1)
    expected = [torch.ones(1, 2)]
    result = compare(
        lambda images: [torch.full((1, 2), float('nan'))],
        Images(inputs, expected),
        1,
    )
    assert result.difference > 1e30


def test_outputs_of_zero():
    assert Comparison(0, 0, 1, 1, (1,)).relative == 0
    assert Comparison(1, 0, 1, 1, (1,)).relative == float('inf')


def test_other_shapes_and_no_run():
    images = Images(torch.zeros(1, 1, 1, 1), [torch.ones(1, 2)])
    with pytest.raises(ExportError) as info:
        compare(lambda images: [torch.ones(1, 3)], images, 1)
    assert str(info.value) == (
        'it gives outputs of [(1, 3)], where the student gives [(1, 2)]'
    )

    def fail(images):
        raise RuntimeError('wrong\nbatch')

    with pytest.raises(ExportError) as info:
        compare(fail, images)
    assert str(info.value) == (
        'it does not run on a batch of 1: RuntimeError: wrong'
    )


RAW = torch.tensor([10, 20, 30], dtype=torch.uint8).reshape(1, 3, 1, 1)


@pytest.mark.parametrize(
    'graph, expected',
    [
        (Graph(), [10, 20, 30]),
        (Graph(flip=True), [30, 20, 10]),
        (Graph('outside'), [1, 2, 3]),
    ],
)
def test_what_the_graph_takes(graph, expected):
    for batch in (RAW, list(RAW)):
        images = prepare_images(Network(), graph, dict(inputs=batch))
        assert images.inputs.dtype == torch.float32
        assert images.inputs.flatten().tolist() == expected
        # The output is that of the run, whatever the graph takes.
        assert images.outputs[0].tolist() == [[1, 2, 3]]


def test_images_of_the_run_that_do_not_serve():
    sizes = [torch.ones(3, 4, 4), torch.ones(3, 4, 5)]
    with pytest.raises(ValueError, match=r'of one size.*\(3, 4, 4\)'):
        prepare_images(Network(), Graph(), dict(inputs=sizes))
    with pytest.raises(ValueError, match='a dict with "inputs"'):
        prepare_images(Network(), Graph(), [RAW])
    with pytest.raises(ValueError, match='gives nan or inf on'):
        prepare_images(Network(), Graph(), dict(inputs=RAW / 0 * 0))
    network = Network()
    network.forward = lambda images, mode: ()
    with pytest.raises(ValueError, match='returns no tensor'):
        prepare_images(network, Graph(), dict(inputs=RAW))

    def fail(images, mode):
        raise RuntimeError('3 channels')

    network.forward = fail
    with pytest.raises(ExportError) as info:
        prepare_images(network, Graph(), dict(inputs=RAW))
    assert str(info.value) == (
        'The student fails on images of (3, 1, 1) (channels, height, width): '
        'RuntimeError: 3 channels'
    )
