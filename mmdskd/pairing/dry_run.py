"""Try a config of DSKD for some iterations, without its data."""

import copy
import io
import math
import tempfile
import uuid
import warnings
from contextlib import redirect_stdout
from typing import Any, Optional

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from mmdskd.export.plain_model import without_pretrained
from mmdskd.models.utils.teacher_preprocessor import prepare_for_teacher
from mmdskd.utils.config import type_name, without_teacher_weights
from mmdskd.utils.text import shorten

# Hooks that want data or checkpoints.
LEFT_OUT = ('StudentCheckpointHook', 'TeacherEvaluationHook')
# As many that a batch norm of 1x1 maps has more than two values.
MANY_IMAGES = 8


class _Probe(Hook):
    """Keeps losses and the size of the gradients."""

    def __init__(self) -> None:
        self.losses: list[dict[str, float]] = []
        self.gradients: dict[str, list[Tensor]] = dict()

    def before_train(self, runner: Runner) -> None:
        connectors = runner.model.distiller.connectors
        for name, parameter in connectors.named_parameters():
            norms = self.gradients.setdefault(name, [])
            parameter.register_hook(
                lambda grad, norms=norms: norms.append(grad.norm())
            )

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        self.losses.append(
            {
                name: float(value)
                for name, value in outputs.items()
                if 'loss' in name
            }
        )


def try_training(
    cfg: Config,
    image_shape: tuple[int, int, int],
    num_classes: int,
    iterations: int = 2,
    batch_size: int = 2,
) -> list[dict[str, float]]:
    """Train a DSKD config on random images, and look at losses and gradients.

    It is built and run by MMEngine's Runner with its optimizer and hooks, on
    the device that it would train on, but with random weights, in full
    precision, and without validation and checkpoints.

    Args:
        cfg (Config): The config. It is not changed.
        image_shape (tuple[int, int, int]): Channels, height and width of an
            image.
        num_classes (int): Number of classes.
        iterations (int): Number of iterations. Defaults to 2.
        batch_size (int): Images in a batch. With few of them, a parameter
            can get a gradient of exactly 0: a bias before a batch norm of
            two values does. If one does, :data:`MANY_IMAGES` tell whether
            it is so with any number. Defaults to 2.

    Returns:
        list[dict[str, float]]: The losses of each iteration by their names.

    Raises:
        RuntimeError: If a loss is not finite, or a parameter of the heads
            gets no gradient, or one that is not finite.
    """
    cfg = without_teacher_weights(cfg)
    for role in ('architecture', 'teacher'):
        if cfg.model.get(role):
            cfg.model[role] = without_pretrained(cfg.model[role])
    probe = _train(cfg, image_shape, num_classes, iterations, batch_size)
    if batch_size < MANY_IMAGES and any(
        norms and not max(map(float, norms))
        for norms in probe.gradients.values()
    ):
        probe = _train(cfg, image_shape, num_classes, iterations, MANY_IMAGES)
    _check(probe)
    return probe.losses


def try_config(
    cfg: Config, image_shape: tuple[int, int, int], num_classes: int
) -> tuple[list[dict[str, float]], Optional[str]]:
    """Try a config, if need be without the hooks of the user.

    Some of them look into the data set, which the trial does not have.

    Args:
        cfg (Config): The config. It is not changed.
        image_shape (tuple[int, int, int]): See :func:`try_training`.
        num_classes (int): Number of classes.

    Returns:
        tuple[list[dict[str, float]], str or None]: The losses of each
        iteration, and what the user should know.

    Raises:
        Exception: What the training raises without these hooks.
    """
    try:
        return try_training(cfg, image_shape, num_classes), None
    except RuntimeError:
        raise
    # Whatever a hook raises.
    except Exception as error:
        hooks = cfg.get('custom_hooks') or []
        ours = [h for h in hooks if str(h.type).startswith('mmdskd.')]
        if len(ours) == len(hooks):
            raise
        fewer = copy.deepcopy(cfg)
        fewer.custom_hooks = ours
        losses = try_training(fewer, image_shape, num_classes)
        theirs = [type_name(hook) for hook in hooks if hook not in ours]
        return losses, (
            f'the trial ended with {type(error).__name__} ({error}), so it '
            f'was repeated without your hooks ({shorten(theirs, 10)}): see '
            'whether they work on an algorithm, whose student is its '
            '"architecture"'
        )


def _train(
    cfg: Config,
    image_shape: tuple[int, int, int],
    num_classes: int,
    iterations: int,
    batch_size: int,
) -> _Probe:
    """Train a config without weights on random images."""
    images = torch.randint(
        256, (iterations * batch_size, *image_shape), dtype=torch.uint8
    )
    samples: Any = [
        dict(
            inputs=image,
            data_samples=DataSample().set_gt_label(i % num_classes),
        )
        for i, image in enumerate(images)
    ]
    loader = DataLoader(
        samples, batch_size=batch_size, collate_fn=pseudo_collate
    )
    optim_wrapper = dict(cfg.optim_wrapper, type='OptimWrapper')
    for key in ('loss_scale', 'dtype', 'use_fp64'):  # of AmpOptimWrapper
        optim_wrapper.pop(key, None)
    probe = _Probe()
    with (
        tempfile.TemporaryDirectory() as work_dir,
        warnings.catch_warnings(),
        redirect_stdout(io.StringIO()),
    ):
        # Of a teacher without weights.
        warnings.simplefilter('ignore')
        runner = Runner(
            cfg.model,
            work_dir,
            train_dataloader=loader,
            train_cfg=dict(by_epoch=True, max_epochs=1),
            optim_wrapper=optim_wrapper,
            data_preprocessor=cfg.get('data_preprocessor'),
            default_hooks=dict(checkpoint=None),
            custom_hooks=[
                hook
                for hook in cfg.get('custom_hooks') or []
                if type_name(hook) not in LEFT_OUT
            ]
            + [probe],
            default_scope=cfg.get('default_scope', 'mmpretrain'),
            log_level='ERROR',
            experiment_name=uuid.uuid4().hex,
        )
        batch = next(iter(loader))
        prepared = runner.model.data_preprocessor(batch, True)
        images = prepare_for_teacher(runner.model, prepared['inputs'])
        update_bn(runner.model.teacher, images)
        runner.train()
    return probe


def update_bn(network: nn.Module, images: Tensor) -> None:
    """Set the running statistics of the batch norms to those of a batch.

    With the initial ones, the features of a deep network without trained
    weights grow from layer to layer. Unlike
    :func:`torch.optim.swa_utils.update_bn`, it updates the norms alone: that
    one sets the whole network to training, where dropout acts, and the norms
    of frozen stages stay in eval mode, with statistics that were reset.

    Args:
        network (nn.Module): The network. It is in eval mode afterwards.
        images (Tensor): A batch, (N, C, H, W).
    """
    network.eval()
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    with torch.no_grad():
        network(images)
    network.eval()
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum


def _check(probe: _Probe) -> None:
    """Raise unless all is finite, and all heads learn."""
    for losses in probe.losses:
        wrong = {
            name: value
            for name, value in losses.items()
            if not math.isfinite(value)
        }
        if wrong:
            raise RuntimeError(f'The losses should be finite, but got {wrong}')
    for name, norms in probe.gradients.items():
        values = torch.stack(norms).tolist() if norms else [0.0]
        if not all(map(math.isfinite, values)) or max(values) == 0:
            raise RuntimeError(
                f'Each parameter of the heads should get a gradient, but '
                f'{name} got gradients of norm {values}'
            )
