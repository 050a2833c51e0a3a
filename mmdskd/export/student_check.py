"""See that an exported student is the one that was trained."""

from collections import OrderedDict
from typing import Any, Optional

import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmdskd.utils.config import without_weights
from mmdskd.utils.load_whole import load_whole, mark_tensors
from mmdskd.utils.model import STUDENT_PREFIX
from mmdskd.utils.random_state import keep_random_state
from mmdskd.utils.state_dict import (
    OTHER_NAMES,
    clone_tensors,
    copy_tensors,
    find_left_out,
    find_tensors,
    has_names_of,
)
from mmdskd.utils.text import shorten

from .image_batch import build_images
from .trained_student import build_trained, run_network

# Logits of the same weights differ by less of the largest one.
TOLERANCE = 1e-3


class StudentMismatchError(ValueError):
    """A student that would be exported is not the one that was trained."""

    def __init__(self, found: str) -> None:
        super().__init__(
            f'The student was not written: {found}. The checkpoint is whole. '
            'Let the class of the student save and load all of its state by '
            'state_dict() and load_state_dict(), and build from its config '
            'what was trained; then export it by '
            'tools/model_converters/convert_kd_ckpt_to_student.py CHECKPOINT '
            '--config CONFIG.'
        )


def check_student(
    student: dict, cfg: Config, theirs: Optional[list[Tensor]], batch: Any
) -> None:
    """See that file and config of a student give the student of the run.

    The plain network is built from the config, takes the weights as a test
    takes them, and runs. Where its class has other names for its tensors
    than their places in it, ``student`` gets these.

    Args:
        student (dict): Its checkpoint, see
            :func:`~mmdskd.export.student_weights.extract_student`. Its
            ``state_dict`` may be replaced.
        cfg (Config): Its config.
        theirs (list[Tensor], optional): What the student of the run makes of
            the images, see :func:`run_network`. With None, the weights alone
            are compared.
        batch (Any): The images, as a data loader gives them.

    Raises:
        StudentMismatchError: If it is another one.
    """
    model = without_weights(cfg.to_dict()['model'])
    with keep_random_state():
        network = MODELS.build(model)
    fit_to_class(student, network)
    if theirs is None:
        return
    network.to(theirs[0].device)
    try:
        ours = run_network(network, network.data_preprocessor, batch)
    # The student of the run did it.
    except Exception as error:
        raise StudentMismatchError(
            f'the network of its config fails on images of the run: {error!r}'
        ) from error
    compare_outputs(ours, theirs)


def check_against_run(student: dict, cfg: Config, run: Config) -> str:
    """See that file and config of a student give that of a checkpoint.

    The student is built as the algorithm of the run builds it.

    Args:
        student (dict): Its checkpoint, see :func:`check_student`.
        cfg (Config): Its config.
        run (Config): Config of the run.

    Returns:
        str: How it was compared.

    Raises:
        StudentMismatchError: If it is another one.
    """
    images = theirs = None
    try:
        images = build_images(run)
    # The data of the run may be gone.
    except Exception as error:
        reason = f' ({type(error).__name__}: {error})'
    else:
        reason = ''
    if images is not None:
        trained, preprocessor = build_trained(run, student['state_dict'])
        theirs = run_network(trained, preprocessor, images)
    check_student(student, cfg, theirs, images)
    if theirs is None:
        return f'same weights; there are no images of the run{reason}'
    return f'same weights, same logits on {len(theirs[0])} images of the run'


def check_unchanged_names(checkpoint: dict) -> None:
    """See that a student can be taken out of a checkpoint without a config.

    Args:
        checkpoint (dict): Checkpoint of an algorithm.

    Raises:
        StudentMismatchError: If only its class could tell the names of its
            tensors.
    """
    metadata = getattr(checkpoint.get('state_dict'), '_metadata', {})
    if metadata.get(STUDENT_PREFIX[:-1], {}).get(OTHER_NAMES):
        raise StudentMismatchError(
            'its class changes the names of its tensors, and there is no '
            'config to build it from'
        )


def check_names(network: nn.Module) -> None:
    """See that a network without a config saves its tensors by their places.

    Args:
        network (nn.Module): The student of a run.

    Raises:
        StudentMismatchError: If its class changes them, so that only a
            network of the class could tell what it loads.
    """
    if not has_names_of(network, network.state_dict()):
        raise StudentMismatchError(
            f'{type(network).__name__} changes its state dict, and there is '
            'no config to build it from'
        )


def fit_to_class(student: dict, network: nn.Module) -> None:
    """Find the names under which a network takes its weights.

    Args:
        student (dict): Checkpoint of the network. Its ``state_dict`` is
            replaced where the network takes other names.
        network (nn.Module): The plain network. It has the weights afterwards.

    Raises:
        StudentMismatchError: If the network does not take them all.
    """
    weights = student['state_dict']
    if has_names_of(network, weights):
        copy_tensors(network, weights)
    else:
        report = load_whole(network, weights)
        if not report.is_whole:
            raise StudentMismatchError(
                'the network of its config has other tensors: missing '
                f'{shorten(report.missing)}; unexpected '
                f'{shorten(report.unexpected)}; of other shape '
                f'{shorten(report.mismatched)}'
            )
    expected = clone_tensors(network)
    own = network.state_dict()
    own.update(find_left_out(network, own))
    own = OrderedDict(
        (name, value.clone() if isinstance(value, Tensor) else value)
        for name, value in own.items()
    )
    lost: list[str] = []
    for candidate in (weights, own):
        lost = _find_lost(network, candidate, expected)
        if not lost:
            student['state_dict'] = candidate
            return
    raise StudentMismatchError(
        f'{type(network).__name__} loads other values than it has saved, or '
        f'none, for {len(lost)} of its {len(expected)} tensors, such as '
        f'{shorten(lost)}'
    )


def _find_lost(
    network: nn.Module, weights: dict, expected: dict[str, Tensor]
) -> list[str]:
    """Name the tensors that are not as expected after loading."""
    mark_tensors(find_tensors(network))
    try:
        network.load_state_dict(weights, strict=False)
    except RuntimeError:  # wrong shapes
        return list(expected)
    return [
        name
        for name, tensor in find_tensors(network).items()
        if not _is_same(tensor, expected[name])
    ]


def _is_same(ours: Tensor, theirs: Tensor) -> bool:
    """Whether values are the same, nan included."""
    if ours.is_floating_point():
        return torch.equal(ours.isnan(), theirs.isnan()) and torch.equal(
            ours.nan_to_num(), theirs.nan_to_num()
        )
    return torch.equal(ours, theirs)


def compare_outputs(ours: list[Tensor], theirs: list[Tensor]) -> None:
    """Compare what two networks make of the same images.

    Args:
        ours (list[Tensor]): Outputs of the plain network.
        theirs (list[Tensor]): Those of the student of the run.

    Raises:
        StudentMismatchError: If they differ.
    """
    shapes = [
        [tuple(tensor.shape) for tensor in tensors]
        for tensors in (ours, theirs)
    ]
    if shapes[0] != shapes[1]:
        raise StudentMismatchError(
            f'its outputs have the shapes {shapes[0]}, but {shapes[1]} in '
            'the run'
        )
    for output, expected in zip(ours, theirs):
        scale = expected.nan_to_num(0, 0, 0).abs().max().item()
        if not torch.allclose(
            output, expected, rtol=0, atol=TOLERANCE * scale, equal_nan=True
        ):
            difference = (output - expected).abs().max().item()
            raise StudentMismatchError(
                f'with the same weights, its logits differ by {difference:.3g}'
                f' from those of the student in the run, whose largest is '
                f'{scale:.3g}, on {len(expected)} images of the run'
            )
