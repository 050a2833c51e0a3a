"""What the command line tools share: arguments, config and early checks."""

import argparse
import os
import os.path as osp
import tempfile

import torch
from mmengine.config import Config
from mmengine.device import get_device

from mmdskd.engine.checks.config_check import check_config, merge_options
from mmdskd.engine.default_hooks import add_default_hooks
from mmdskd.engine.interruption import say
from mmdskd.engine.latest_checkpoint import find_latest_checkpoint
from mmdskd.engine.own_files import get_out_dir
from mmdskd.pairing.auto import resolve_auto
from mmdskd.utils.arguments import add_cfg_options
from mmdskd.utils.config import check_has, load_config, type_name

AMP_DEVICES = ('cuda', 'npu', 'mlu', 'musa')


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that training and testing share.

    Args:
        parser (ArgumentParser): The parser of a tool.
    """
    parser.add_argument(
        'config',
        help='config file, or package::path of one that a package ships',
    )
    parser.add_argument(
        '--work-dir',
        help='folder for logs and checkpoints; by default the work_dir of '
        'the config, or else work_dirs/<name of the config>',
    )
    add_cfg_options(parser)
    parser.add_argument(
        '--allow-partial',
        action='store_true',
        help='load a checkpoint that fits the model in part, as for a '
        'fine-tuning with another number of classes',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher',
    )
    parser.add_argument(
        '--local_rank',
        '--local-rank',
        type=int,
        default=0,
        help='set by the launcher',
    )


def load_run_config(args: argparse.Namespace) -> Config:
    """Load the config of a run, fill in the shapes that it leaves out, and
    see that its work_dir can be written.

    Args:
        args (Namespace): Values of :func:`add_run_arguments`.

    Returns:
        Config: The config, with the arguments merged into it.

    Raises:
        OSError: If the config or its ``_base_`` is missing, or the work_dir
            can't be written.
        ValueError: If the config can't be read, has no model, or if a
            setting of ``--cfg-options`` leads nowhere.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = load_config(args.config)
    check_has(cfg, args.config, 'model')
    add_default_hooks(cfg)  # so that options can change them
    merge_options(cfg, args.cfg_options)
    check_config(cfg)
    resolve_auto(cfg)
    add_default_hooks(cfg)
    if args.allow_partial:
        cfg.merge_from_dict(
            {'default_hooks.loaded_weights.allow_partial': True}
        )
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        name = osp.splitext(osp.basename(args.config))[0]
        cfg.work_dir = osp.join('work_dirs', name)
    make_work_dir(cfg.work_dir)
    if cfg.launcher == 'pytorch' and get_device() == 'cpu':
        distribute_on_cpu(cfg)
    return cfg


def make_work_dir(work_dir: str) -> None:
    """Make the folder of a run, and see that it can be written.

    Args:
        work_dir (str): The folder. It may exist.

    Raises:
        OSError: If it can't be made or written.
    """
    try:
        os.makedirs(work_dir, exist_ok=True)
        with tempfile.TemporaryFile(dir=work_dir):
            pass
    except OSError as error:
        raise OSError(
            f'work_dir should be a folder that can be written, but '
            f'"{work_dir}" is not: {error.strerror} ({error.filename!r}). '
            'Choose another one with --work-dir.'
        ) from error


def distribute_on_cpu(cfg: Config) -> None:
    """Let the processes of a run without GPUs work together.

    Whatever the backend, MMEngine selects a CUDA device in each process and
    hands its number to DDP. It does neither if the process group exists and
    the model wrapper names its devices.

    Args:
        cfg (Config): The config, changed in place.
    """
    cfg.merge_from_dict({'env_cfg.dist_cfg.backend': 'gloo'})
    torch.distributed.init_process_group('gloo')
    if cfg.get('model_wrapper_cfg') is None:
        cfg.model_wrapper_cfg = dict(
            type='MMDistributedDataParallel',
            broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False),
        )
    cfg.model_wrapper_cfg.device_ids = None


def check_checkpoint(checkpoint: str) -> None:
    """See that a checkpoint is there.

    Args:
        checkpoint (str): Path of a file, or a URL, which is not looked at.

    Raises:
        FileNotFoundError: If it is a path, and no file is there.
    """
    if '://' not in checkpoint and not osp.isfile(checkpoint):
        raise FileNotFoundError(
            f'checkpoint should be a file or a URL, but there is no file '
            f'{checkpoint!r} (looked from {os.getcwd()}).'
        )


def enable_amp(cfg: Config) -> None:
    """Switch a training config to automatic mixed precision.

    Args:
        cfg (Config): The config, changed in place.

    Raises:
        ValueError: If the optimizer wrapper is not a plain one.
        RuntimeError: If the device can't do it.
    """
    wrapper = cfg.optim_wrapper
    if 'constructor' in wrapper or type_name(wrapper, 'OptimWrapper') not in (
        'OptimWrapper',
        'AmpOptimWrapper',
    ):
        raise ValueError(
            '--amp should meet an optim_wrapper of type "OptimWrapper" or '
            f'"AmpOptimWrapper" without a constructor, but got {wrapper}.'
        )
    check_amp_device('--amp', 'Leave out --amp.')
    wrapper.type = 'AmpOptimWrapper'
    wrapper.setdefault('loss_scale', 'dynamic')


def check_amp_device(what: str, instead: str) -> None:
    """See that there is a device for automatic mixed precision.

    Args:
        what (str): What asks for it.
        instead (str): What to do without such a device.

    Raises:
        RuntimeError: If there is none.
    """
    if get_device() not in AMP_DEVICES:
        raise RuntimeError(
            f'{what} should run on one of {AMP_DEVICES}, as the '
            'AmpOptimWrapper of MMEngine serves no other device, but this '
            f'machine offers {get_device()!r}. {instead}'
        )


def enable_auto_scale_lr(cfg: Config) -> None:
    """Let the learning rate follow the total batch size.

    Args:
        cfg (Config): The config, changed in place.

    Raises:
        ValueError: If the config doesn't say which batch size its learning
            rate is for.
    """
    if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
        raise ValueError(
            '--auto-scale-lr should meet a config that says which batch size '
            'its learning rate is for, as in auto_scale_lr = '
            'dict(base_batch_size=128), but got auto_scale_lr = '
            f'{cfg.get("auto_scale_lr")}.'
        )
    cfg.auto_scale_lr.enable = True


def resume_from(cfg: Config, resume: str) -> None:
    """Let a training config go on from a checkpoint.

    What is skipped on the way to the latest one is printed.

    Args:
        cfg (Config): The config, changed in place. If there is nothing to
            resume from, it stays as it is.
        resume (str): Path or URL of a checkpoint, or "auto" for the latest
            one of ``cfg.work_dir``, if there is one.

    Raises:
        FileNotFoundError: If the checkpoint is missing.
    """
    if resume == 'auto':
        work_dir = osp.abspath(cfg.work_dir)
        hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
        out_dir = get_out_dir(hook.get('out_dir'), work_dir)
        latest = find_latest_checkpoint(
            work_dir, out_dir, hook.get('filename_tmpl') or ''
        )
        for line in latest.skipped:
            say(line)
        if latest.path is None:
            say(f'No checkpoint in {out_dir} to resume from: training begins.')
            return
        resume = latest.path
    else:
        check_checkpoint(resume)
    cfg.resume = True
    cfg.load_from = resume
