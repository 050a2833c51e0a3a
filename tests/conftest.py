"""A distillation run that takes seconds, for tests of the whole chain."""

import ast
import functools
import gzip
import hashlib
import importlib.util
import logging
import os
import pickle
import re
import runpy
import signal
import subprocess
import sys
import time
import types
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

# Of the workers that run the tests, and of the processes that tests start: as
# many of them as cores. Read when torch is imported.
os.environ['OMP_NUM_THREADS'] = '1'

# Not ignored, as by a shell that runs this in the background: tests send it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config, config
from mmengine.logging import MMLogger
from mmengine.runner import Runner, runner
from mmpretrain import datasets

import mmdskd  # noqa: F401  (makes MMRazor work: first of all)
from mmdskd.datasets import FashionMNIST
from mmdskd.experiments.fork_server import find_layout_module
from mmdskd.pairing import config_text  # noqa: F401  (before yapf is patched)
from mmdskd.utils.checkpoint import load_checkpoint_file

TOOLS = Path(__file__).parents[1] / 'tools'


def check_code(text: str, **kwargs) -> tuple[str, bool]:
    """Refuse what yapf refuses, and format nothing."""
    ast.parse(text)
    return text, False


@pytest.fixture(scope='session', autouse=True)
def quick_runners():
    """Leave out what a Runner spends more time on than on the training of a
    tiny network: most of the time of all tests.

    It lays out its config by yapf four times, starts compilers to tell their
    versions, and collects garbage among all modules for every data set.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(find_layout_module(config), 'FormatCode', check_code)
        collect_env = functools.cache(runner.collect_env)
        patch.setattr(runner, 'collect_env', lambda: dict(collect_env()))
        patch.setattr(
            'mmengine.dataset.base_dataset.gc',
            types.SimpleNamespace(collect=int),
        )
        yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call) -> Iterator[None]:
    """Skip what trains on the digits where scikit-learn, which ships them, is
    not installed."""
    report = (yield).get_result()
    if (
        report.failed
        and importlib.util.find_spec('sklearn') is None
        and re.search(
            "scikit-learn is not installed|No module named 'sklearn'",
            f'{report.longreprtext}{report.caplog}{report.capstderr}',
        )
    ):
        report.outcome = 'skipped'
        path, line, _ = item.location
        report.longrepr = (path, line or 0, 'needs scikit-learn')


def resnet(channels: int) -> dict:
    return dict(
        type='ImageClassifier',
        _scope_='mmpretrain',
        backbone=dict(
            type='mmdskd.CIFARResNet',
            depth=8,
            in_channels=1,
            stem_channels=channels,
            stage_channels=(channels, 2 * channels, 4 * channels),
        ),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='LinearClsHead',
            num_classes=10,
            in_channels=4 * channels,
            loss=dict(type='CrossEntropyLoss'),
        ),
    )


def dataloader(split: str, indices: int, shuffle: bool) -> dict:
    return dict(
        batch_size=20,
        num_workers=0,
        dataset=dict(
            type='mmdskd.Digits',
            split=split,
            indices=indices,
            pipeline=[
                dict(type='mmpretrain.Resize', scale=16),
                dict(type='mmpretrain.PackInputs'),
            ],
        ),
        sampler=dict(type='DefaultSampler', shuffle=shuffle),
    )


def make_kd_config(folder: Path) -> Config:
    """Logits KD between two tiny ResNets on a few digits: 3 epochs of 5
    iterations."""
    return Config(
        dict(
            default_scope='mmpretrain',
            custom_imports=dict(
                imports=['mmdskd'], allow_failed_imports=False
            ),
            teacher_ckpt='/no/such/teacher.pth',
            model=dict(
                type='mmrazor.SingleTeacherDistill',
                _scope_='mmrazor',
                data_preprocessor=dict(
                    type='mmpretrain.ClsDataPreprocessor',
                    mean=[77.7],
                    std=[33.3],
                ),
                architecture=resnet(4),
                teacher=resnet(8),
                distiller=dict(
                    type='ConfigurableDistiller',
                    student_recorders=dict(
                        logits=dict(type='ModuleOutputs', source='head.fc')
                    ),
                    teacher_recorders=dict(
                        logits=dict(type='ModuleOutputs', source='head.fc')
                    ),
                    distill_losses=dict(
                        loss_kd=dict(type='KLDivergence', loss_weight=0.1)
                    ),
                    loss_forward_mappings=dict(
                        loss_kd=dict(
                            preds_S=dict(from_student=True, recorder='logits'),
                            preds_T=dict(
                                from_student=False, recorder='logits'
                            ),
                        )
                    ),
                ),
            ),
            train_dataloader=dataloader('train', 100, shuffle=True),
            val_dataloader=dataloader('test', 50, shuffle=False),
            test_dataloader=dataloader('test', 50, shuffle=False),
            val_evaluator=dict(type='mmpretrain.Accuracy'),
            test_evaluator=dict(type='mmpretrain.Accuracy'),
            train_cfg=dict(by_epoch=True, max_epochs=3),
            val_cfg=dict(),
            test_cfg=dict(),
            optim_wrapper=dict(
                optimizer=dict(type='SGD', lr=0.05, momentum=0.9)
            ),
            default_hooks=dict(
                checkpoint=dict(type='CheckpointHook', interval=1)
            ),
            custom_hooks=[dict(type='mmdskd.StudentCheckpointHook')],
            env_cfg=dict(dist_cfg=dict(backend='gloo')),
            randomness=dict(seed=0),
            work_dir=str(folder / 'run'),
        )
    )


@pytest.fixture
def kd_config(tmp_path) -> Config:
    """See :func:`make_kd_config`."""
    return make_kd_config(tmp_path)


@pytest.fixture(scope='session')
def build_runner() -> Callable[..., Runner]:
    """Build a runner that shares nothing with those before it."""

    def build(cfg: Config) -> Runner:
        cfg.experiment_name = uuid.uuid4().hex
        return Runner.from_cfg(cfg)

    return build


@pytest.fixture
def listen() -> Iterator[Callable[[], list[str]]]:
    """Listen to the current logger, which pytest does not hear."""
    added = []

    def start() -> list[str]:
        messages: list[str] = []
        handler = logging.Handler(logging.INFO)
        handler.emit = lambda record: messages.append(
            f'{record.levelname}: {record.getMessage()}'
        )
        logger = MMLogger.get_current_instance()
        logger.addHandler(handler)
        added.append((logger, handler))
        return messages

    yield start
    for logger, handler in added:
        logger.removeHandler(handler)


@pytest.fixture
def run_tool(monkeypatch) -> Callable[..., None]:
    """Run a tool in this process as from the command line."""

    def run(name: str, *args) -> None:
        monkeypatch.setattr(sys, 'argv', [name, *map(str, args)])
        runpy.run_path(str(TOOLS / name), run_name='__main__')

    return run


@pytest.fixture
def run_ranks(tmp_path) -> Callable[..., list[dict]]:
    """Run a script on several processes with gloo; return what each has
    saved.

    The script gets the paths of the config and of a folder, in which it
    leaves ``rank0.pth``, ``rank1.pth`` and so on.
    """

    def run(cfg: Config, source: str, number: int) -> list[dict]:
        config, script = tmp_path / 'config.py', tmp_path / 'rank.py'
        cfg.dump(config)
        script.write_text(source)
        # This process keeps the store, so that its port is not free for
        # others before the ranks are there; they are clients, as with
        # torchrun.
        store = torch.distributed.TCPStore(
            '127.0.0.1', 0, is_master=True, wait_for_workers=False
        )
        outputs = [tmp_path / f'rank{rank}.txt' for rank in range(number)]
        processes = [
            subprocess.Popen(
                [sys.executable, script, config, tmp_path],
                env=dict(
                    os.environ,
                    RANK=str(rank),
                    LOCAL_RANK=str(rank),
                    WORLD_SIZE=str(number),
                    MASTER_ADDR='127.0.0.1',
                    MASTER_PORT=str(store.port),
                    TORCHELASTIC_USE_AGENT_STORE='True',
                    TORCHELASTIC_RESTART_COUNT='0',
                    PYTHONPATH=os.pathsep.join(filter(None, sys.path)),
                ),
                stdout=output.open('w'),  # a pipe that is full would block
                stderr=subprocess.STDOUT,
            )
            for rank, output in enumerate(outputs)
        ]
        try:
            # One that fails leaves the others waiting for it.
            while any(process.poll() is None for process in processes):
                if any(process.poll() for process in processes):
                    break
                time.sleep(0.1)
            for process, output in zip(processes, outputs):
                assert not process.poll(), output.read_text()[-4000:]
        finally:
            for process in processes:
                process.kill()
                process.wait()
        return [
            load_checkpoint_file(str(tmp_path / f'rank{rank}.pth'))
            for rank in range(number)
        ]

    return run


@pytest.fixture
def run_two_ranks(run_ranks) -> Callable[[Config, str], list[dict]]:
    """Run a script on two processes, see :func:`run_ranks`."""
    return functools.partial(run_ranks, number=2)


def add_dskd(kd_config: Config) -> Config:
    """Add DSKD on the first two stages to logits KD."""
    distiller = kd_config.model.distiller
    distiller.student_recorders.update(
        shallow=dict(
            type='mmdskd.MultiModuleOutputs',
            sources=['backbone.layer1', 'backbone.layer2'],
        ),
        gt_labels=dict(type='ModuleInputs', source='head.loss_module'),
    )
    distiller.teacher_recorders.feat = dict(
        type='ModuleOutputs', source='backbone.layer3'
    )
    distiller.connectors = dict(
        heads=dict(
            type='mmdskd.DSKDConnector',
            in_channels=[4, 8],
            strides=[4, 2],
            out_channels=32,
            num_classes=10,
        )
    )
    distiller.distill_losses.loss_dskd = dict(
        type='mmdskd.DSKDLoss',
        num_branches=2,
        logit_loss=dict(type='KLDivergence', tau=4),
        feat_loss=dict(type='L2Loss', normalize=False, div_element=True),
    )
    distiller.loss_forward_mappings.loss_dskd = dict(
        branches=dict(
            from_student=True, recorder='shallow', connector='heads'
        ),
        preds_T=dict(from_student=False, recorder='logits'),
        feat_T=dict(from_student=False, recorder='feat'),
        gt_labels=dict(from_student=True, recorder='gt_labels', data_idx=1),
    )
    kd_config.custom_hooks = [dict(type='mmdskd.LossWeightSchedulerHook')]
    return kd_config


@pytest.fixture
def dskd_config(kd_config) -> Config:
    """DSKD on the first two stages, on top of logits KD."""
    return add_dskd(kd_config)


@pytest.fixture(scope='session')
def make_dskd_config() -> Callable[[Path], Config]:
    """Make the config of DSKD for runs that several tests share."""
    return lambda folder: add_dskd(make_kd_config(folder))


@pytest.fixture
def tiny_imagenet_folder(tmp_path) -> Callable[..., Path]:
    """Write a small Tiny-ImageNet as the archive unpacks, and return the
    folder. Its wnids are not sorted, as in the archive."""

    def write(classes: int = 3, images: int = 4) -> Path:
        root = tmp_path / 'tiny-imagenet-200'
        wnids = [f'n{number:08}' for number in range(classes)][::-1]
        random = np.random.RandomState(0)
        annotations = []

        def write_image(path: Path) -> None:
            coarse = random.randint(0, 256, (8, 8, 3), dtype=np.uint8)
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), cv2.resize(coarse, (64, 64)))

        for wnid in wnids:
            for i in range(images):
                write_image(root / f'train/{wnid}/images/{wnid}_{i}.JPEG')
            (root / f'train/{wnid}/{wnid}_boxes.txt').touch()
        for i in range(classes * images):
            write_image(root / f'val/images/val_{i}.JPEG')
            annotations.append(
                f'val_{i}.JPEG\t{wnids[i % classes]}\t0\t0\t62\t62\n'
            )
        (root / 'val/val_annotations.txt').write_text(''.join(annotations))
        (root / 'wnids.txt').write_text('\n'.join(wnids))
        names = [f'{wnid}\tclass {int(wnid[1:])}, thing' for wnid in wnids]
        (root / 'words.txt').write_text(
            '\n'.join([*names, 'n99999999\tin no image'])
        )
        return root

    return write


@pytest.fixture
def cifar_folder(tmp_path, monkeypatch) -> Callable[..., Path]:
    """Write a small CIFAR ("CIFAR10" or "CIFAR100") as the archive unpacks,
    put its checksums in place of those of the archive, and return the
    data_root."""

    def write(name: str = 'CIFAR100', images: int = 16) -> Path:
        cifar = getattr(datasets, name)
        classes = len(cifar.METAINFO['classes'])
        key = 'fine_labels' if name == 'CIFAR100' else 'labels'
        root = tmp_path / name.lower()
        folder = root / cifar.base_folder
        folder.mkdir(parents=True)
        random = np.random.RandomState(0)
        for files in ('train_list', 'test_list'):
            checksums = []
            for file, _ in getattr(cifar, files):
                content = pickle.dumps(
                    {
                        'data': random.randint(
                            0, 256, (images, 3072), dtype=np.uint8
                        ),
                        key: random.randint(0, classes, images).tolist(),
                    }
                )
                (folder / file).write_bytes(content)
                checksums.append([file, hashlib.md5(content).hexdigest()])
            monkeypatch.setattr(cifar, files, checksums)
        meta = {cifar.meta['key']: list(cifar.METAINFO['classes'])}
        (folder / cifar.meta['filename']).write_bytes(pickle.dumps(meta))
        return root

    return write


@pytest.fixture
def fashion_mnist_folder(tmp_path, monkeypatch) -> Callable[..., Path]:
    """Write a small Fashion-MNIST in the original's format, put its checksums
    in place of the original's, and return the data_root. There is no other
    folder, and no server."""

    def write(
        train: int = 16, test: int = 16, size: int = 28, suffix: str = '.gz'
    ) -> Path:
        root = tmp_path / 'fashion_mnist'
        root.mkdir()
        random = np.random.RandomState(0)
        for part, images in (('train', train), ('t10k', test)):
            shape = (images, size, size)
            for name, values in (
                ('images-idx3', random.randint(0, 256, shape, np.uint8)),
                ('labels-idx1', random.randint(0, 10, images, np.uint8)),
            ):
                content = bytes([0, 0, 8, values.ndim])
                content += np.array(values.shape, '>i4').tobytes()
                content += values.tobytes()
                name = f'{part}-{name}-ubyte'
                monkeypatch.setitem(
                    FashionMNIST.MD5, name, hashlib.md5(content).hexdigest()
                )
                (root / f'{name}{suffix}').write_bytes(
                    gzip.compress(content) if suffix else content
                )
        monkeypatch.setattr(
            FashionMNIST, 'debian_folder', str(tmp_path / 'debian')
        )
        monkeypatch.setattr(FashionMNIST, 'url_prefix', 'file:///no/server/')
        return root

    return write
