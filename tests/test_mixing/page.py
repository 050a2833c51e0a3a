"""The blocks of docs/mixing.md, and how they are tried."""

import re
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.registry import HOOKS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / 'docs/mixing.md').read_text()
BATCH_SIZE = 16


def section(title):
    """The Python blocks of a section of the page."""
    _, found, rest = PAGE.partition(f'## {title}\n')
    assert found, title
    return re.findall('```python\n(.*?)```', rest.split('\n## ')[0], re.DOTALL)


@HOOKS.register_module()
class Look(Hook):
    """Notes gradients, labels and parameters of each iteration."""

    priority = 'LOWEST'

    def before_train(self, runner):
        self.labels = []
        self.learning = []  # per iteration, the parameters of the heads
        runner.model.architecture.head.loss_module.register_forward_pre_hook(
            lambda module, args: self.labels.append(args[1])
        )
        heads = runner.model.distiller.connectors
        for name, param in heads.named_parameters():
            param.register_hook(
                lambda grad, name=name: (
                    self.learning[-1].add(name) if grad.any() else None
                )
            )

    def before_train_iter(self, runner, *args, **kwargs):
        self.learning.append(set())


def shorten(cfg, epochs=1, batch_size=BATCH_SIZE, **dataset):
    """Two iterations an epoch."""
    for name in ('train', 'val'):
        loader = cfg[f'{name}_dataloader']
        loader.dataset.dataset.update(indices=2 * batch_size, **dataset)
        loader.batch_size = batch_size
    if 'teacher' in cfg.model:
        cfg.model.teacher_ckpt = None  # trained by another config
    cfg.train_cfg.max_epochs = epochs
    cfg.custom_hooks = [*cfg.get('custom_hooks', []), dict(type='Look')]
    return cfg


def look(runner):
    return next(hook for hook in runner.hooks if isinstance(hook, Look))


def scalars(runner, key):
    history, _ = runner.message_hub.get_scalar(f'train/{key}').data
    return history.tolist()
