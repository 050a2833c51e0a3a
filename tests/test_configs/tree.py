"""The configs that train from nothing."""

import functools
import re
from pathlib import Path

from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[2]
# Without those that need what another run has left: see test_mixing.
CONFIGS = sorted(
    path.relative_to(ROOT / 'configs')
    for method in ('vanilla', 'kd', 'dskd', 'mix')
    for path in (ROOT / 'configs' / method).rglob('*.py')
    if not re.search('prune-|-l1_|-fisher_', path.name)
)
load = functools.cache(Config.fromfile)  # not to be changed


def source(loader):
    """The data set that reads images, be it wrapped or not."""
    dataset = loader.dataset
    while 'dataset' in dataset:
        dataset = dataset.dataset
    return dataset
