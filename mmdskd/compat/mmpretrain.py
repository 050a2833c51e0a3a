"""Patches of MMPretrain."""

import functools
import inspect
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
    transformers 5. Nothing here needs them. (No issue of it is known.)

    Args:
        dependency (ModuleType): ``mmpretrain.utils.dependency``.
    """
    if satisfies(installed_version('transformers') or '0', '>=5'):
        dependency.WITH_MULTIMODAL = False  # type: ignore[attr-defined]


def build_preprocessor_in_any_scope(image: ModuleType) -> None:
    """Let an ``ImageClassifier`` find its preprocessor in MMRazor's scope.

    It builds ``ClsDataPreprocessor`` in the scope that is active. So
    MMRazor's supernets, which inherit from it, and ``mmpretrain.X`` within
    its algorithms fail. mmcls named the scope, as MMPretrain's other
    classifiers do. (No issue of it is known.)

    Args:
        image (ModuleType): ``mmpretrain.models.classifiers.image``.
    """
    init = image.ImageClassifier.__init__
    if init.__module__ == __name__:
        return
    parameters = inspect.signature(init)

    @functools.wraps(init, assigned=('__doc__',))
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        given = parameters.bind(self, *args, **kwargs)
        preprocessor = given.arguments.get('data_preprocessor')
        if preprocessor is None or isinstance(preprocessor, dict):
            given.arguments['data_preprocessor'] = {
                'type': 'mmpretrain.ClsDataPreprocessor',
                **(preprocessor or {}),
            }
        init(*given.args, **given.kwargs)

    image.ImageClassifier.__init__ = __init__
