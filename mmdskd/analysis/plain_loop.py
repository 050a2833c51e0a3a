"""The step of logits KD in plain PyTorch, as a lower bound."""

import copy
from typing import Union

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.runner import set_random_seed
from torch import Tensor, nn

from mmdskd.models.utils.teacher_preprocessor import prepare_for_teacher
from mmdskd.models.utils.teacher_weights import load_teacher
from mmdskd.registry import MODELS
from mmdskd.utils.config import type_name
from mmdskd.utils.model import STUDENT_PREFIX
from mmdskd.utils.state_dict import copy_tensors

from .training_step import SEED, StepwiseTrainLoop


class PlainLoop:
    """What the step of a KD config comes to in plain PyTorch.

    The networks are used as they are built, and the optimizer is called
    directly. The batches are preprocessed beforehand.

    Args:
        cfg (Config): Logits KD, see :func:`find_kd_weights`.
        loop (StepwiseTrainLoop): The loop of the config, for its batches.
        weights (dict[str, Tensor]): What its algorithm started from.
        teacher_ckpt (str): Path of the weights of its teacher.
    """

    def __init__(
        self,
        cfg: Config,
        loop: StepwiseTrainLoop,
        weights: dict[str, Tensor],
        teacher_ckpt: str,
    ) -> None:
        self.label_weight, self.kd_weight, self.tau = find_kd_weights(cfg)
        device = get_device()
        self.student = MODELS.build(cfg.model.architecture).to(device)
        copy_tensors(
            self.student,
            {
                name[len(STUDENT_PREFIX) :]: tensor
                for name, tensor in weights.items()
                if name.startswith(STUDENT_PREFIX)
            },
        )
        self.student.train()
        self.teacher = MODELS.build(cfg.model.teacher).to(device)
        load_teacher(self.teacher, teacher_ckpt)
        self.teacher.eval().requires_grad_(False)
        optimizer = dict(cfg.optim_wrapper.optimizer)
        self.optimizer = getattr(torch.optim, optimizer.pop('type'))(
            self.student.parameters(), **optimizer
        )

        self.algorithm = loop.runner.model
        preprocessor = copy.deepcopy(self.algorithm.data_preprocessor)
        self.batches = []
        for index, batch in enumerate(loop.batches):
            set_random_seed(SEED + index)  # as for the steps of the config
            batch = preprocessor(batch, True)
            self.batches.append(
                (
                    batch['inputs'],
                    torch.cat(
                        [sample.gt_label for sample in batch['data_samples']]
                    ),
                )
            )
        self.iter = 0

    def step(self) -> None:
        """Run one iteration."""
        inputs, labels = self.batches[self.iter % len(self.batches)]
        with torch.no_grad():
            images = prepare_for_teacher(self.algorithm, inputs)
            preds_T = self.teacher(images, mode='tensor')
        preds_S = self.student(inputs, mode='tensor')
        divergence = F.kl_div(
            F.log_softmax(preds_S / self.tau, dim=1),
            F.softmax(preds_T / self.tau, dim=1),
            reduction='batchmean',
        )
        self.total = (
            self.label_weight * F.cross_entropy(preds_S, labels)
            + self.kd_weight * self.tau**2 * divergence
        )
        self.optimizer.zero_grad()
        self.total.backward()
        self.optimizer.step()
        self.iter += 1

    @property
    def loss(self) -> float:
        """float: Total loss of the latest step."""
        return self.total.item()

    @property
    def networks(self) -> list[nn.Module]:
        """list[nn.Module]: All that is held."""
        return [self.student, self.teacher]


Loop = Union[StepwiseTrainLoop, PlainLoop]


def check_plain(where: str, cfg: dict, kind: str, *keys: str) -> None:
    """See that a part of a config is one that :class:`PlainLoop` knows.

    Args:
        where (str): What the part is called.
        cfg (dict): The part.
        kind (str): Its type, without scope.
        *keys (str): The settings that it may have.

    Raises:
        ValueError: If it is something else.
    """
    if type_name(cfg, kind) != kind or not set(cfg) <= {'type', *keys}:
        raise ValueError(
            f'--plain-loop should meet a first config whose {where} is a '
            f'{kind} with no setting but {", ".join(keys)}, but got '
            f'{dict(cfg)}.'
        )


def find_kd_weights(cfg: Config) -> tuple[float, float, float]:
    """Read what :class:`PlainLoop` needs of a config of logits KD.

    Args:
        cfg (Config): The config.

    Returns:
        tuple[float, float, float]: Weight of the cross-entropy, weight of the
        Kullback-Leibler divergence, and its temperature.

    Raises:
        ValueError: If there is more to it.
    """
    losses = cfg.model.get('distiller', {}).get('distill_losses', {})
    if len(losses) != 1:
        raise ValueError(
            '--plain-loop should meet a first config with one loss in '
            f'model.distiller.distill_losses, but got {list(losses)}.'
        )
    ((name, kd),) = losses.items()
    check_plain(
        f'model.distiller.distill_losses.{name}',
        kd,
        'KLDivergence',
        'tau',
        'loss_weight',
    )
    labels = cfg.model.architecture.head.get('loss', {})
    check_plain(
        'model.architecture.head.loss',
        labels,
        'CrossEntropyLoss',
        'loss_weight',
    )
    check_plain(
        'optim_wrapper', cfg.optim_wrapper, 'OptimWrapper', 'optimizer'
    )
    return (
        labels.get('loss_weight', 1.0),
        kd.get('loss_weight', 1.0),
        kd.get('tau', 1.0),
    )
