"""Compare the training steps of configs: time and peak memory, or losses.

A step is all that MMEngine does for an iteration but loading its batch:
preprocessing, forward, backward, optimizer and hooks, that of DSKD included.
The configs take turns in one process, so that whatever slows the machine slows
all of them. Ratios and differences are to the first row. Tables are in
Markdown.

A config may bring options of its own, in quotes, after its path:

    benchmark_step.py configs/kd/x.py \\
        "configs/kd/x.py model.type=mmrazor.SingleTeacherDistill"

All start from the same weights, where their parameters have the same names and
shapes, and see the same batches. Teachers have random weights, but statistics
of their batch norms and a scale of their logits as if they were trained.
"""

import argparse
import copy
import os
import os.path as osp
import shlex
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain, islice
from pathlib import Path
from typing import Any, Callable, NamedTuple, Union

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import LOOPS
from mmengine.runner import (
    EpochBasedTrainLoop,
    Runner,
    load_checkpoint,
    set_random_seed,
)
from mmpretrain.structures import DataSample
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import Dataset

import mmdskd  # noqa: F401  (makes MMRazor work: first of all)
from mmdskd.registry import DATASETS, MODELS
from mmdskd.utils import resolve_auto
from mmdskd.utils.cli import (
    add_cfg_options,
    load_config,
    parse_shape,
    whole_number,
)
from mmdskd.utils.type_name import type_name

MEGABYTE = 2**20
SEED = 0
# The epoch of random images: of the length of that of CIFAR-100, so that
# what happens once an epoch is as rare.
SYNTHETIC_BATCHES = 782
# Standard deviation of the logits of teachers. Those of a new network are so
# near to 0 that it would hardly matter what a teacher says.
LOGITS_STD = 4.0
# After the first step the optimizer has its state, and a compiled network is
# compiled.
STEPS_BEFORE_MEMORY = 2


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


def parse_entry(text: str) -> Entry:
    """Read a config with its options.

    Args:
        text (str): "CONFIG [KEY=VALUE ...]", with the quoting of a shell.
            The values are those of ``--cfg-options``.

    Returns:
        Entry: The config.

    Raises:
        ArgumentTypeError: If the text is none.
    """
    parser = argparse.ArgumentParser()
    add_cfg_options(parser)
    try:
        config, *options = shlex.split(text) or ['']
        if not config or '=' in config:
            raise ValueError(f'{config!r} is no path')
        for option in options:
            if '=' not in option:
                raise ValueError(f'{option!r} is no KEY=VALUE')
        args = parser.parse_args(options and ['--cfg-options', *options])
    except (AssertionError, ValueError) as error:
        raise argparse.ArgumentTypeError(
            'CONFIG should be a path, or a quoted "path KEY=VALUE ...", but '
            f'got {text!r}: {error}'
        ) from error
    return Entry(text, config, args.cfg_options or {})


class Quartiles(NamedTuple):
    """Median and quartiles of measured values."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> 'Quartiles':
        """Compute them.

        Args:
            values (list[float]): At least two values.

        Returns:
            Quartiles: Their quartiles, interpolated.
        """
        return cls(*statistics.quantiles(values, n=4, method='inclusive'))

    def format(self, digits: int) -> str:
        """Write them as "median [low, high]"."""
        return (
            f'{self.median:.{digits}f} '
            f'[{self.low:.{digits}f}, {self.high:.{digits}f}]'
        )


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
        prefix = 'architecture.'
        self.student.load_state_dict(
            {
                name[len(prefix) :]: tensor
                for name, tensor in weights.items()
                if name.startswith(prefix)
            }
        )
        self.student.train()
        self.teacher = MODELS.build(cfg.model.teacher).to(device)
        load_checkpoint(self.teacher, teacher_ckpt, map_location=device)
        self.teacher.eval().requires_grad_(False)
        optimizer = dict(cfg.optim_wrapper.optimizer)
        self.optimizer = getattr(torch.optim, optimizer.pop('type'))(
            self.student.parameters(), **optimizer
        )

        preprocessor = copy.deepcopy(loop.runner.model.data_preprocessor)
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
            preds_T = self.teacher(inputs, mode='tensor')
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


def build_loops(args: argparse.Namespace, folder: str) -> dict[str, Loop]:
    """Build all that is measured.

    Args:
        args (Namespace): The arguments of the tool.
        folder (str): Folder for logs and teachers.

    Returns:
        dict[str, Loop]: The loops by their labels.
    """
    configs = [prepare_config(entry, args) for entry in args.configs]
    if args.plain_loop:
        find_kd_weights(configs[0])  # raises before all that takes time
    builder = Builder(folder)
    built = [builder.build(cfg) for cfg in configs]
    if args.synthetic is not None:
        for loop, entry in zip(built, args.configs):
            check_image_size(loop, entry, args.synthetic)
    loops: dict[str, Loop] = {}
    if args.plain_loop:
        loops['plain loop'] = PlainLoop(
            configs[0],
            built[0],
            builder.weights,
            builder.make_teacher(configs[0]),
        )
    for number, (entry, loop) in enumerate(zip(args.configs, built), 1):
        loops[f'{number}. {Path(entry.config).stem}'] = loop
    return loops


def synchronize() -> None:
    """Wait until the GPU, if there is one, has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def measure_times(
    steps: list[Callable[[], None]], iters: int, warmup: int
) -> list[list[float]]:
    """Measure steps in turns.

    Args:
        steps (list[Callable]): The steps.
        iters (int): How often each is measured.
        warmup (int): How often each is run before that.

    Returns:
        list[list[float]]: Seconds of each step, in order of time.
    """
    times: list[list[float]] = [[] for _ in steps]
    for iteration in range(warmup + iters):
        for step, seconds in zip(steps, times):
            synchronize()
            start = time.perf_counter()
            step()
            synchronize()
            if iteration >= warmup:
                seconds.append(time.perf_counter() - start)
    return times


class Allocations(NamedTuple):
    """What PyTorch's allocator gave to a function.

    Attributes:
        kept (int): Bytes that the function has not given back. Below 0 if it
            has given back more than it took.
        peak (int): The most bytes that it held at a time.
    """

    kept: int
    peak: int


def measure_allocations(function: Callable[[], Any]) -> Allocations:
    """Call a function, and follow what it allocates.

    With a GPU this is the memory of the GPU, by the account of the allocator,
    and else that of the CPU, by the account of the profiler. The latter does
    not see that memory is given back if it was taken outside of a call of
    this function.

    Args:
        function (Callable): The function.

    Returns:
        Allocations: What it allocated.
    """
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        start = torch.cuda.memory_allocated()
        function()
        return Allocations(
            torch.cuda.memory_allocated() - start,
            torch.cuda.max_memory_allocated() - start,
        )
    with profile(
        activities=[ProfilerActivity.CPU], profile_memory=True
    ) as profiler:
        function()
    totals = list(
        accumulate(
            event.nbytes()
            for event in profiler.profiler.kineto_results.events()
            if event.name() == '[memory]'
        )
    )
    return (
        Allocations(totals[-1], max(0, *totals))
        if totals
        else (Allocations(0, 0))
    )


def find_tensors(networks: list[nn.Module]) -> dict[int, Tensor]:
    """Find parameters and buffers, those in common once.

    Args:
        networks (list[nn.Module]): The networks.

    Returns:
        dict[int, Tensor]: The tensors by their addresses.
    """
    return {
        tensor.data_ptr(): tensor.detach()
        for network in networks
        for tensor in chain(network.parameters(), network.buffers())
    }


def measure_memory(loop: Loop) -> float:
    """Measure the peak memory of a loop that has run no step yet.

    Args:
        loop (Loop): The loop.

    Returns:
        float: Megabytes: parameters and buffers, what the first steps leave
        (state of the optimizer, gradients, recorded tensors), and the most
        that the step after them holds beyond that.
    """

    def run_first_steps() -> None:
        for _ in range(STEPS_BEFORE_MEMORY):
            loop.step()

    tensors = find_tensors(loop.networks)
    held = measure_allocations(run_first_steps).kept
    # Without those that a step has put others in place of, such as folded
    # weights. They are still alive here, so that no address comes twice.
    held += sum(
        tensors[address].numel() * tensors[address].element_size()
        for address in find_tensors(loop.networks)
        if address in tensors
    )
    del tensors
    return (held + measure_allocations(loop.step).peak) / MEGABYTE


def measure_losses(loops: list[Loop], count: int) -> list[list[float]]:
    """Run the first steps of loops with equal random numbers.

    Args:
        loops (list[Loop]): The loops.
        count (int): How many steps each is run.

    Returns:
        list[list[float]]: The total losses of each loop.
    """
    losses: list[list[float]] = [[] for _ in loops]
    for iteration in range(count):
        for loop, values in zip(loops, losses):
            set_random_seed(SEED + iteration)
            loop.step()
            values.append(loop.loss)
    return losses


def format_table(
    header: Sequence[str], rows: list[Sequence[str]]
) -> Iterator[str]:
    """Write a table in Markdown, for the eye, too.

    Args:
        header (Sequence[str]): Titles of its columns.
        rows (list[Sequence[str]]): Its cells.

    Yields:
        str: Its lines.
    """
    widths = [max(map(len, column)) for column in zip(header, *rows)]

    def join(cells: Sequence[str]) -> str:
        return ' | '.join(
            cell.ljust(width) for cell, width in zip(cells, widths)
        )

    yield f'| {join(header)} |'
    yield '|' + '|'.join('-' * (width + 2) for width in widths) + '|'
    for row in rows:
        yield f'| {join(row)} |'


def format_costs(
    labels: Sequence[str], times: list[list[float]], memory: list[float]
) -> str:
    """Write time and memory as a table.

    Args:
        labels (Sequence[str]): Labels of the rows.
        times (list[list[float]]): Seconds of their steps.
        memory (list[float]): Their peak memory, in megabytes.

    Returns:
        str: The table. Ratios are to the first row, and those of times are
        taken turn by turn.
    """
    rows = []
    for label, seconds, megabytes in zip(labels, times, memory):
        step = Quartiles.of([1000 * value for value in seconds])
        ratio = Quartiles.of(
            [value / first for value, first in zip(seconds, times[0])]
        )
        rows.append(
            (
                label,
                step.format(2),
                ratio.format(3),
                f'{megabytes:.1f}',
                f'{megabytes / memory[0]:.3f}',
            )
        )
    return '\n'.join(
        format_table(
            ('', 'step (ms)', 'ratio', 'peak memory (MB)', 'ratio'), rows
        )
    )


def relative_difference(values: list[float], others: list[float]) -> float:
    """Compute the largest relative difference of values, NaN included.

    Args:
        values (list[float]): The values.
        others (list[float]): As many, to which the differences are.

    Returns:
        float: The largest of |value - other| / |other|.
    """
    others = np.asarray(others)
    return float(np.max(np.abs(values - others) / np.abs(others)))


def format_losses(labels: Sequence[str], losses: list[list[float]]) -> str:
    """Write losses as a table.

    Args:
        labels (Sequence[str]): Labels of the rows.
        losses (list[list[float]]): Their total losses, by iteration.

    Returns:
        str: The table, with the differences to the first row.
    """
    numbers = [str(number) for number in range(1, len(losses[0]) + 1)]
    rows = [
        (
            label,
            *(f'{value:.7g}' for value in values),
            f'{relative_difference(values, losses[0]):.1e}',
        )
        for label, values in zip(labels, losses)
    ]
    return '\n'.join(
        format_table(
            ('loss of iteration', *numbers, 'largest relative difference'),
            rows,
        )
    )


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'configs',
        nargs='+',
        type=parse_entry,
        metavar='CONFIG',
        help='config file, or package::path; in quotes, followed by options '
        'of its own: "CONFIG KEY=VALUE ..."',
    )
    parser.add_argument(
        '--plain-loop',
        action='store_true',
        help='compare with a loop in plain PyTorch, the same as the first '
        'config, which should be one of logits KD',
    )
    parser.add_argument(
        '--losses',
        type=whole_number(1),
        metavar='N',
        help='compare the losses of the first N iterations, in place of time '
        'and memory',
    )
    parser.add_argument(
        '--iters',
        type=whole_number(2),
        default=100,
        help='measured steps of each config, at least 2 (default: 100)',
    )
    parser.add_argument(
        '--warmup',
        type=whole_number(0),
        default=10,
        help='steps of each config before those (default: 10)',
    )
    parser.add_argument(
        '--batch-size',
        type=whole_number(1),
        help='images in a batch (default: as the configs say)',
    )
    parser.add_argument(
        '--synthetic',
        type=parse_shape,
        metavar='C,H,W',
        help='random images of this shape in place of the data sets',
    )
    add_cfg_options(parser)
    return parser.parse_args()


def describe_machine() -> str:
    """Tell on what was measured."""
    device = (
        torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else f'CPU, {torch.get_num_threads()} threads'
    )
    return f'{device}, torch {torch.__version__}'


def main() -> None:
    # The profiler tells on stderr that there is no GPU.
    os.environ.setdefault('KINETO_LOG_LEVEL', '99')
    args = parse_args()
    with tempfile.TemporaryDirectory() as folder:
        loops = build_loops(args, folder)
        if args.losses is None:
            memory = [measure_memory(loop) for loop in loops.values()]
            times = measure_times(
                [loop.step for loop in loops.values()], args.iters, args.warmup
            )
            title = f'{args.iters} steps of each in turns, median [quartiles]'
            table = format_costs(list(loops), times, memory)
        else:
            losses = measure_losses(list(loops.values()), args.losses)
            title = 'Total losses, from equal weights on equal batches'
            table = format_losses(list(loops), losses)
    for number, entry in enumerate(args.configs, 1):
        print(f'{number}. {entry.text}')
    print(f'\n{title}. On {describe_machine()}.\n\n{table}')


if __name__ == '__main__':
    main()
