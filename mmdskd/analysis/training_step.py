"""Training steps of configs, run one by one, from equal weights."""

import copy
import os.path as osp
import uuid
from collections.abc import Sequence
from itertools import chain, islice
from typing import Any, Optional

import torch
from mmengine.config import Config
from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, Runner, set_random_seed
from mmpretrain.structures import DataSample
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn
from torch.utils.data import Dataset

from mmdskd.models.utils.teacher_preprocessor import make_teacher_preprocessor
from mmdskd.registry import DATASETS

SEED = 0
# The epoch of random images: of the length of that of CIFAR-100, so that
# what happens once an epoch is as rare.
SYNTHETIC_BATCHES = 782
# Standard deviation of the logits of teachers. Those of a new network are so
# near to 0 that it would hardly matter what a teacher says.
LOGITS_STD = 4.0


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

    def __init__(self, *args: Any, num_batches: int, **kwargs: Any) -> None:
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


def prepare_config(
    cfg: Config,
    synthetic: Optional[tuple[int, int, int]] = None,
    num_batches: int = 1,
) -> None:
    """Reduce a config to its training steps, in place.

    Args:
        cfg (Config): Config of a training, without "auto".
        synthetic (tuple[int, int, int], optional): Channels, height and width
            of random images in place of the data set. Defaults to None.
        num_batches (int): Number of batches that serve the steps, in turns.
            Defaults to 1.
    """
    if synthetic is not None:
        cfg.train_dataloader.dataset = dict(
            type='mmdskd.SyntheticImages',
            shape=synthetic,
            length=SYNTHETIC_BATCHES * cfg.train_dataloader.batch_size,
        )
    # The batches are loaded before the steps.
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    for part in ('cfg', 'dataloader', 'evaluator'):
        cfg.pop(f'val_{part}', None)
        cfg.pop(f'test_{part}', None)
    cfg.train_cfg = dict(
        type='StepwiseTrainLoop',
        max_epochs=cfg.train_cfg.get('max_epochs', 1),
        num_batches=num_batches,
    )
    cfg.merge_from_dict({'randomness.seed': SEED})
    cfg.log_level = 'ERROR'


@torch.no_grad()
def calibrate(network: nn.Module, inputs: Tensor) -> None:
    """Give a network with random weights the scales of a trained one.

    The statistics of its batch norms become those of the images, and the
    standard deviation of its logits :data:`LOGITS_STD`.

    Args:
        network (nn.Module): The network, changed in place.
        inputs (Tensor): Images, (N, C, H, W).
    """
    # With the initial statistics, the features of a deep network explode.
    update_bn([inputs], network)
    network.eval()
    classifiers = [m for m in network.modules() if isinstance(m, nn.Linear)]
    if classifiers:
        scale = LOGITS_STD / network(inputs, mode='tensor').std()
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
            images = teacher.data_preprocessor(loop.batches[0], True)['inputs']
            preprocess = make_teacher_preprocessor(
                teacher.data_preprocessor, model
            )
            calibrate(
                teacher, images if preprocess is None else preprocess(images)
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
    name: str, loop: StepwiseTrainLoop, shape: tuple[int, int, int]
) -> None:
    """See that the networks get images of the size that was asked for.

    Args:
        name (str): Name of the config.
        loop (StepwiseTrainLoop): The loop of the config.
        shape (tuple[int, int, int]): Channels, height and width.

    Raises:
        ValueError: If the data preprocessor makes others of them.
    """
    preprocessor = copy.deepcopy(loop.runner.model.data_preprocessor)
    found = tuple(preprocessor(loop.batches[0], True)['inputs'].shape[1:])
    if found != shape:
        raise ValueError(
            f'Images of --synthetic {shape} should reach the networks as they '
            f'are, but the data preprocessor of {name} makes {found} '
            'of them. Set the sizes in it, too, such as --cfg-options '
            f'data_preprocessor.augments.0.crop_size={shape[-1]}'
        )
