"""A hook that kills its own run at a chosen point, for `kill_runs.py`."""

import os
import os.path as osp
import re
import signal
import threading
import time

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from mmdskd.engine.hooks import StudentCheckpointHook


@HOOKS.register_module()
class KillHook(Hook):
    """Kills the process the n-th time that it comes to a point.

    Args:
        point (str, optional): Name of a hook's stage, such as
            "after_val_iter", or of one of the functions below with "before
            " or "after " in front of it: "replace NAME" (the end of a write),
            "half NAME" (a torn temporary file), "remove NAME", "torch.save",
            "export", where NAME is a pattern of file names. Defaults to None,
            for never.
        number (int): Which time, from 1 on. Defaults to 1.
        delay (float): Seconds until the kill. Defaults to 0.
        signal_number (int): Defaults to SIGKILL.
    """

    # Behind all but the last
    priority = 'LOWEST'

    def __init__(
        self, point=None, number=1, delay=0.0, signal_number=signal.SIGKILL
    ):
        self.point = point
        self.number = number
        self.delay = delay
        self.signal_number = signal_number

    def hit(self, point, name=''):
        """Kill if this is the point, and the time."""
        if self.point is None:
            return
        wanted, _, pattern = self.point.partition(': ')
        if wanted != point or not re.fullmatch(pattern, name):
            return
        self.number -= 1
        if self.number == 0:
            if self.delay:
                threading.Thread(target=self.kill, daemon=True).start()
            else:
                self.kill()

    def kill(self):
        time.sleep(self.delay)
        os.kill(os.getpid(), self.signal_number)

    def around(self, owner, name, point, get_name=lambda *args, **kwargs: ''):
        """Let a function come to points before and after it."""
        function = getattr(owner, name)

        def watched(*args, **kwargs):
            self.hit(f'before {point}', get_name(*args, **kwargs))
            result = function(*args, **kwargs)
            self.hit(f'after {point}', get_name(*args, **kwargs))
            return result

        setattr(owner, name, watched)

    def before_run(self, runner):
        self.around(
            os, 'replace', 'replace', lambda _, target: osp.basename(target)
        )
        self.around(
            os, 'remove', 'remove', lambda path, **_: osp.basename(path)
        )
        self.around(torch, 'save', 'torch.save')
        self.around(StudentCheckpointHook, '_export', 'export')
        self.around(
            Runner,
            'save_checkpoint',
            'save',
            lambda _, folder, filename, *args, **kwargs: filename,
        )
        sync = os.fsync

        def tear(descriptor):
            name = osp.basename(os.readlink(f'/proc/self/fd/{descriptor}'))
            name = re.sub(r'^\.|\.\d+\.tmp$', '', name)
            if self.point == f'half: {name}' and self.number == 1:
                size = os.fstat(descriptor).st_size
                os.ftruncate(descriptor, size // 2)
            self.hit('half', name)
            sync(descriptor)

        os.fsync = tear

    def before_train(self, runner):
        self.hit('before_train')

    def before_train_epoch(self, runner):
        self.hit('before_train_epoch')

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.hit('before_train_iter')

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ):
        self.hit('after_train_iter')

    def after_train_epoch(self, runner):
        self.hit('after_train_epoch')

    def before_val_epoch(self, runner):
        self.hit('before_val_epoch')

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.hit('after_val_iter')

    def after_val_epoch(self, runner, metrics=None):
        self.hit('after_val_epoch')
