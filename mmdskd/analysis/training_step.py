import argparse
import copy
import os.path as osp
import uuid
from collections.abc import Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, Runner, set_random_seed
from mmpretrain.structures import DataSample
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn
from torch.utils.data import Dataset

from mmdskd.registry import DATASETS
from mmdskd.utils import resolve_auto
from mmdskd.utils.config import load_config

SEED = 0


# The epoch of random images: of the length of that of CIFAR-100, so that
# what happens once an epoch is as rare.
SYNTHETIC_BATCHES = 782


# Standard deviation of the logits of teachers. Those of a new network are so
# near to 0 that it would hardly matter what a teacher says.
LOGITS_STD = 4.0


class Entry(NamedTuple):
    """A config to measure.

    Attributes:
        text (str): How it was given.
        config (str): Its path, or ``package::path``.
        options (dict): The settings that it overrides.
    """

    text: str
    config: str
    options: dict[str, Any]


@DATASETS.register_module(force=True)
class SyntheticImages(Dataset):
    """Random images, for networks whose data set is not at hand.

    Args:
        shape (Sequence[int]): Channels, height and width.
        length (int): Number of images.
    """

    def __init__(self, shape: Sequence[int], length: int) -> None:
        self.shape = tuple(shape)
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict:
        # Of its own, for the same image whatever was drawn before.
        generator = torch.Generator().manual_seed(index)
        image = torch.randint(
            256, self.shape, dtype=torch.uint8, generator=generator
        )
        # All classifiers have the classes 0 and 1.
        return dict(
            inputs=image, data_samples=DataSample().set_gt_label(index % 2)
        )


@LOOPS.register_module(force=True)
class StepwiseTrainLoop(EpochBasedTrainLoop):
    """A train loop that prepares training, and is then called for steps.

    Args:
        num_batches (int): How many batches of the data set serve the steps,
            in turns.
        *args, **kwargs: Those of ``EpochBasedTrainLoop``.
    """

    def __init__(self, *args, num_batches: int, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.num_batches = num_batches

    def run(self) -> None:
        """Do all that comes before the first iteration."""
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        # What was drawn for the weights is not to change the batches.
        set_random_seed(SEED)
        self.batches = list(islice(self.dataloader, self.num_batches))

    def step(self) -> None:
        """Run one iteration."""
        self.run_iter(
            self.iter % len(self.dataloader),
            self.batches[self.iter % len(self.batches)],
        )

    @property
    def loss(self) -> float:
        """float: Total loss of the latest step."""
        return self.runner.message_hub.get_scalar('train/loss').current()

    @property
    def networks(self) -> list[nn.Module]:
        """list[nn.Module]: All that is held, including what an algorithm
        keeps out of its ``state_dict``."""
        model = self.runner.model
        return [model] + [
            value
            for value in vars(model).values()
            if isinstance(value, nn.Module)
        ]


def prepare_config(entry: Entry, args: argparse.Namespace) -> Config:
    """Load a config, and reduce it to its training steps.

    Args:
        entry (Entry): The config and its options, which come last.
        args (Namespace): The arguments of the tool.

    Returns:
        Config: The config.
    """
    cfg = load_config(entry.config)
    cfg.merge_from_dict(args.cfg_options or {})
    if args.batch_size is not None:
        cfg.train_dataloader.batch_size = args.batch_size
    cfg.merge_from_dict(entry.options)
    if args.synthetic is not None:
        cfg.train_dataloader.dataset = dict(
            type='mmdskd.SyntheticImages',
            shape=args.synthetic,
            length=SYNTHETIC_BATCHES * cfg.train_dataloader.batch_size,
        )
    resolve_auto(cfg, args.synthetic)
    # The batches are loaded before the steps.
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    for part in ('cfg', 'dataloader', 'evaluator'):
        cfg.pop(f'val_{part}', None)
        cfg.pop(f'test_{part}', None)
    cfg.train_cfg = dict(
        type='StepwiseTrainLoop',
        max_epochs=cfg.train_cfg.get('max_epochs', 1),
        num_batches=args.losses or 1,
    )
    cfg.merge_from_dict({'randomness.seed': SEED})
    cfg.log_level = 'ERROR'
    return cfg


@torch.no_grad()
def pretend_training(teacher: nn.Module, inputs: Tensor) -> None:
    """Give a network with random weights the scales of a trained one.

    Args:
        teacher (nn.Module): The network, changed in place.
        inputs (Tensor): Images, (N, C, H, W).
    """
    # With the initial statistics, the features of a deep network explode.
    update_bn([inputs], teacher)
    teacher.eval()
    classifiers = [m for m in teacher.modules() if isinstance(m, nn.Linear)]
    if classifiers:
        scale = LOGITS_STD / teacher(inputs, mode='tensor').std()
        classifiers[-1].weight.mul_(scale)


class Builder:
    """Builds the loops of configs, with weights in common.

    Args:
        folder (str): Folder for logs and teachers.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.weights: dict[str, Tensor] = {}
        self.teachers: dict[str, str] = {}

    def build(self, cfg: Config) -> StepwiseTrainLoop:
        """Build all that a config needs for training.

        Args:
            cfg (Config): Of :func:`prepare_config`.

        Returns:
            StepwiseTrainLoop: The loop, ready for its first step.
        """
        if 'teacher' in cfg.model:
            cfg.model.teacher_ckpt = self.make_teacher(cfg)
        loop = self._start(cfg)
        self._share_weights(loop.runner.model)
        return loop

    def make_teacher(self, cfg: Config) -> str:
        """Draw the weights of a teacher, unless that was done before.

        Args:
            cfg (Config): A config with a teacher.

        Returns:
            str: Path of its checkpoint.
        """
        model = cfg.model
        key = str(model.teacher)
        if key not in self.teachers:
            cfg = copy.deepcopy(cfg)
            cfg.model = copy.deepcopy(model.teacher)
            preprocessor = model.get(
                'data_preprocessor',
                model.architecture.get('data_preprocessor'),
            )
            if preprocessor is not None:
                cfg.model.data_preprocessor = preprocessor
            cfg.custom_hooks = []  # those of the distillation
            loop = self._start(cfg)
            teacher = loop.runner.model
            pretend_training(
                teacher,
                teacher.data_preprocessor(loop.batches[0], True)['inputs'],
            )
            path = osp.join(self.folder, f'teacher_{len(self.teachers)}.pth')
            weights = {
                name: tensor
                for name, tensor in teacher.state_dict().items()
                if not name.startswith('data_preprocessor.')
            }
            torch.save(dict(state_dict=weights), path)
            self.teachers[key] = path
        return self.teachers[key]

    def _start(self, cfg: Config) -> StepwiseTrainLoop:
        cfg.work_dir = self.folder
        # Runners of the same name would share their logs.
        cfg.experiment_name = uuid.uuid4().hex
        runner = Runner.from_cfg(cfg)
        runner.train()
        return runner.train_loop

    @torch.no_grad()
    def _share_weights(self, model: nn.Module) -> None:
        """Start from the weights of the models before, where they fit."""
        for name, tensor in chain(
            model.named_parameters(), model.named_buffers()
        ):
            if not name.startswith('teacher'):  # it has its checkpoint
                start = self.weights.setdefault(name, tensor.detach().clone())
                if start.shape == tensor.shape:
                    tensor.copy_(start)


def check_image_size(
    loop: StepwiseTrainLoop, entry: Entry, shape: tuple[int, ...]
) -> None:
    """See that the networks get images of the size that was asked for.

    Args:
        loop (StepwiseTrainLoop): The loop of a config.
        entry (Entry): The config.
        shape (tuple[int]): Channels, height and width.

    Raises:
        ValueError: If the data preprocessor makes others of them.
    """
    preprocessor = copy.deepcopy(loop.runner.model.data_preprocessor)
    found = tuple(preprocessor(loop.batches[0], True)['inputs'].shape[1:])
    if found != shape:
        raise ValueError(
            f'Images of --synthetic {shape} should reach the networks as they '
            f'are, but the data preprocessor of {entry.config} makes {found} '
            'of them. Set the sizes in it, too, such as --cfg-options '
            f'data_preprocessor.augments.0.crop_size={shape[-1]}'
        )
