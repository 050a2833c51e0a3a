"""The graph that is exported: from images to logits or scores."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Optional, cast

import torch
from mmpretrain.models import BaseClassifier
from torch import Tensor, nn

from mmdskd.models import MultiExitClassifier
from mmdskd.models.utils.multi_label import is_multi_label

from .exporters import ExportError
from .trained_student import find_outputs

NORMALIZE = ('inside', 'outside')
OUTPUTS = ('logits', 'scores')
ALL = 'all'


class Graph(NamedTuple):
    """What the exported graph takes and gives.

    Attributes:
        normalize (str): "inside" for a graph that takes pixels of 0 to 255,
            "outside" for one that takes what the data preprocessor gives.
        output (str): "logits", or "scores" for their softmax, or their
            sigmoid where an image has several labels.
        exit (int or str, optional): Of a multi-exit student: "all", or the
            index of the exit at which the graph ends. None for the student's
            own head alone.
        flip (bool): Whether the graph reverses the order of the colours
            first.
    """

    normalize: str = 'inside'
    output: str = 'logits'
    exit: Any = None
    flip: bool = False


class DeployableStudent(nn.Module):
    """A student as a function of a tensor of images.

    Args:
        network (nn.Module): The student, with its ``data_preprocessor``.
        graph (Graph): What it takes and gives.

    Raises:
        ValueError: If the network can't give that.
    """

    def __init__(self, network: nn.Module, graph: Graph) -> None:
        super().__init__()
        check_graph(network, graph)
        self.network = network
        self.graph = graph
        self.is_multi_label = is_multi_label(network)
        self.eval()
        self.requires_grad_(False)

    def forward(self, images: Tensor) -> Any:
        """Compute what the graph gives.

        Args:
            images (Tensor): Float, (N, C, H, W): pixels of 0 to 255, or
                already prepared.

        Returns:
            Tensor or tuple[Tensor]: Logits or scores, (N, K), of the exits
            in their order and then of the student, if there are several.
        """
        if self.graph.flip:
            images = images.flip(1)
        if self.graph.normalize == 'inside':
            prepare: Any = self.network.data_preprocessor
            images = prepare(dict(inputs=images), False)['inputs']
        outputs = [self._finish(logits) for logits in self._run(images)]
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def _run(self, images: Tensor) -> list[Tensor]:
        """Compute logits."""
        exit = self.graph.exit
        if exit is None:
            return list(find_outputs(self.network(images, mode='tensor')))
        network = cast(MultiExitClassifier, self.network)
        logits = network.exit_logits(images)
        # What follows an exit is not in the graph: nothing uses it.
        return logits if exit == ALL else [logits[exit]]

    def _finish(self, logits: Tensor) -> Tensor:
        """Compute scores, if they are asked for."""
        if self.graph.output == 'logits':
            return logits
        if self.is_multi_label:
            return logits.sigmoid()
        return logits.softmax(1)

    def output_names(self, number: int) -> list[str]:
        """Name the outputs.

        Args:
            number (int): How many there are.

        Returns:
            list[str]: "logits" or "scores", or for several of them "exit_0",
            "exit_1" and so on before it.
        """
        last = self.graph.output
        if number == 1:
            return [last]
        if self.graph.exit == ALL:
            return [*(f'exit_{i}' for i in range(number - 1)), last]
        return [f'{last}_{i}' for i in range(number)]


def check_graph(network: nn.Module, graph: Graph) -> None:
    """Check that a network can give what is asked for.

    Args:
        network (nn.Module): The network.
        graph (Graph): What is asked for.

    Raises:
        ValueError: If it can't.
    """
    for name, choices in (('normalize', NORMALIZE), ('output', OUTPUTS)):
        value = getattr(graph, name)
        if value not in choices:
            raise ValueError(
                f'{name} should be one of {", ".join(choices)}, but got '
                f'{value!r}'
            )
    if graph.output == 'scores' and not isinstance(network, BaseClassifier):
        raise ValueError(
            'output should be "logits" for what is not a classifier of '
            f'MMPretrain, but got "scores" for a {type(network).__name__}'
        )
    if graph.exit is None:
        return
    number = (
        len(network.sources) if isinstance(network, MultiExitClassifier) else 0
    )
    if graph.exit != ALL and graph.exit not in range(number):
        raise ValueError(
            f'exit should be a whole number from 0 to {number - 1}, the index '
            f'of an exit, but got {graph.exit!r}'
            if number
            else 'exit should be given for a multi-exit student only, but the '
            f'network is a {type(network).__name__}'
        )


@torch.no_grad()
def compute_reference(
    network: nn.Module, graph: Graph, prepared: Any
) -> list[Tensor]:
    """Compute by the network itself what the graph should give.

    Scores are those of the network's own predictions, so that a softmax
    which its head does already, or does not, shows.

    Args:
        network (nn.Module): The network, in eval mode.
        graph (Graph): What the graph gives.
        prepared (dict): Images, as the data preprocessor returns them.

    Returns:
        list[Tensor]: The outputs, in the order of the graph.

    Raises:
        ExportError: If it predicts no scores.
    """
    images = prepared['inputs']
    if graph.exit is not None:
        logits = cast(MultiExitClassifier, network).exit_logits(images)
        chosen: Sequence[Tensor] = (
            logits if graph.exit == ALL else [logits[graph.exit]]
        )
        if graph.output == 'scores':
            return [values.softmax(1) for values in chosen]
        return list(chosen)
    if graph.output == 'logits':
        return list(find_outputs(network(images, mode='tensor')))
    model: Any = network
    if isinstance(network, MultiExitClassifier):
        # As if there were no exits
        samples = network.head.predict(network.extract_feat(images))
    else:
        samples = model(images, mode='predict')
    scores: list[Optional[Tensor]] = [s.get('pred_score') for s in samples]
    if any(score is None for score in scores):
        raise ExportError(
            'output should be "logits" for a network that predicts no scores, '
            'but got "scores"'
        )
    return [torch.stack(cast(list[Tensor], scores))]
