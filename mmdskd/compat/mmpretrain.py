"""Patches of MMPretrain."""

import functools
from types import ModuleType
from typing import Any

from mmdskd.version import installed_version, satisfies

WEIGHT_ARGUMENTS = ('pretrained', 'checkpoint_path')


def keep_loaded_weights(module: ModuleType) -> None:
    """Let classifiers of timm and transformers keep the weights they loaded.

    They load weights when they are built. MMEngine's ``init_weights`` then
    reaches the ``init_weights`` of timm, which draws random ones.
    ``TIMMBackbone`` of MMPretrain guards itself in this way; the classifiers
    do not (mmengine#1335).

    Args:
        module (ModuleType): Module with ``TimmClassifier`` or
            ``HuggingFaceClassifier``.
    """
    for name in ('TimmClassifier', 'HuggingFaceClassifier'):
        classifier = vars(module).get(name)
        if classifier is None or hasattr(classifier.__init__, 'keeps_weights'):
            continue
        original = classifier.__init__

        @functools.wraps(original)
        def __init__(
            self: Any, *args: Any, original: Any = original, **kwargs: Any
        ) -> None:
            original(self, *args, **kwargs)
            loaded = any(kwargs.get(key) for key in WEIGHT_ARGUMENTS)
            # Weights of an init_cfg are loaded later, over these.
            if loaded and not self.init_cfg:
                self._is_init = True

        __init__.keeps_weights = True  # type: ignore[attr-defined]
        classifier.__init__ = __init__


def leave_out_multimodal(dependency: ModuleType) -> None:
    """Let MMPretrain leave out its multimodal models on transformers 5.

    Where pycocotools and transformers are installed, ``import
    mmpretrain.models`` imports them all, and they do not work with
    transformers 5. Nothing here needs them.

    Args:
        dependency (ModuleType): ``mmpretrain.utils.dependency``.
    """
    if satisfies(installed_version('transformers') or '0', '>=5'):
        dependency.WITH_MULTIMODAL = False  # type: ignore[attr-defined]
