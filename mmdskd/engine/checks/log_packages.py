"""Check that the packages that a run logs with are installed."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmdskd.compat.mmengine import is_installed
from mmdskd.utils.config import is_named

#: What each backend of MMEngine's visualizer imports when a run begins.
PACKAGES = {
    'TensorboardVisBackend': 'tensorboard',
    'WandbVisBackend': 'wandb',
    'MLflowVisBackend': 'mlflow',
    'ClearMLVisBackend': 'clearml',
    'NeptuneVisBackend': 'neptune',
    'DVCLiveVisBackend': 'dvclive',
    'AimVisBackend': 'aim',
}


def check_log_packages(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Check the packages of the backends of the visualizer.

    Args:
        cfg (Config): Config of a run.

    Yields:
        str: A message for each package that is missing.
    """
    visualizer = cfg.get('visualizer')
    if not isinstance(visualizer, Mapping):
        return
    backends = visualizer.get('vis_backends')
    if not isinstance(backends, (list, tuple)):
        return
    for i, backend in enumerate(backends):
        if not isinstance(backend, Mapping):
            continue
        for name, package in PACKAGES.items():
            if is_named(backend, f'mmengine.{name}') and not is_installed(
                package
            ):
                yield (
                    f'visualizer.vis_backends[{i}] ({name}) needs {package}, '
                    f'which is not installed: run "pip install {package}"'
                )
