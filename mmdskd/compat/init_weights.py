"""Let networks keep the weights that they bring.

A patch gets the module that has just been imported.
"""

import inspect
from functools import wraps
from types import ModuleType
from typing import Any


def remember_networks(algorithm: ModuleType) -> None:
    """Remember the configs of student and teacher for ``init_weights``.

    Args:
        algorithm (ModuleType): Module of an algorithm of MMRazor.
    """
    for name in ('BaseAlgorithm', 'SingleTeacherDistill'):
        kind = vars(algorithm).get(name)
        if kind is None or kind.__module__ != algorithm.__name__:
            continue
        if not hasattr(kind.__init__, 'remembers'):
            kind.__init__ = _remember(kind.__init__)


def _remember(init: Any) -> Any:
    from copy import deepcopy

    signature = inspect.signature(init)

    @wraps(init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        given = signature.bind(self, *args, **kwargs).arguments
        given = {**given, **given.get('kwargs', {})}
        configs = self.__dict__.setdefault('network_configs', {})
        for name in ('architecture', 'teacher'):
            if isinstance(given.get(name), dict):
                configs[name] = deepcopy(given[name])
        init(self, *args, **kwargs)

    __init__.remembers = True  # type: ignore[attr-defined]
    return __init__


def keep_own_weights(base: ModuleType) -> None:
    """Let a student or teacher keep weights that it loaded when built.

    MMEngine initialises all that is not marked, and knows nothing of weights
    that the constructor of a class has loaded, or of a built teacher.

    Args:
        base (ModuleType): ``mmrazor.models.algorithms.base``.
    """
    from mmengine.model import BaseModel

    from mmdskd.utils.own_weights import find_own_weights, may_bring_weights
    from mmdskd.utils.state_dict import clone_tensors, copy_tensors

    def init_weights(self: Any) -> None:
        own = {}
        for name in ('architecture', 'teacher'):
            network = self._modules.get(name)
            config = self.network_configs.get(name)
            if network is None or getattr(network, 'is_init', False):
                continue
            if config is None:
                # A built teacher is meant as it is.
                if name == 'teacher':
                    own[name] = clone_tensors(network)
            elif may_bring_weights(network):
                build = _builder(base.MODELS, config)
                own[name] = find_own_weights(network, build).tensors
        BaseModel.init_weights(self)
        for name, tensors in own.items():
            copy_tensors(self._modules[name], tensors)

    base.BaseAlgorithm.init_weights = init_weights


def _builder(registry: Any, config: dict) -> Any:
    from copy import deepcopy

    return lambda: registry.build(deepcopy(config))


def refuse_useless_checkpoints(weight_init: ModuleType) -> None:
    """Let ``init_cfg`` of type ``Pretrained`` load something, or fail.

    MMEngine only warns if no tensor of the checkpoint has a name of the
    module, which then stays as it was initialised. The rule and the message
    are those of the check before a training.

    Args:
        weight_init (ModuleType): ``mmengine.model.weight_init``.
    """
    load = weight_init.PretrainedInit.__call__
    if hasattr(load, 'refuses'):
        return

    @wraps(load)
    def __call__(self: Any, module: Any) -> None:
        from mmdskd.utils.pretrained import find_left

        given = dict(type='Pretrained', checkpoint=self.checkpoint)
        if self.prefix is not None:
            given['prefix'] = self.prefix
        find_left(type(module).__name__, module, given)
        load(self, module)

    __call__.refuses = True  # type: ignore[attr-defined]
    weight_init.PretrainedInit.__call__ = __call__
