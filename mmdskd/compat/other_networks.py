"""Let networks of timm and transformers say in one line what they miss.

A patch gets the module that has just been imported.
"""

import functools
import json
import os.path as osp
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Optional

HUB_TIMEOUT = 5.0  # seconds
# A file that each network has on the hub, and those of its weights.
CONFIG = 'config.json'
PRETRAINED = 'pretrained=True'
FILE = 'name a file by checkpoint_path with pretrained=False'
WEIGHTS = (
    'model.safetensors',
    'pytorch_model.bin',
    'model.safetensors.index.json',
    'pytorch_model.bin.index.json',
)


def explain_missing_networks(module: ModuleType) -> None:
    """Check names and files of networks before MMPretrain builds them.

    timm does not suggest names that are near an unknown one. Where the hub of
    Hugging Face can't be reached, both libraries try for half a minute per
    file, and raise a chain of errors.

    Args:
        module (ModuleType): Module with ``TimmClassifier``, ``TIMMBackbone``
            or ``HuggingFaceClassifier``.
    """
    for name, package, check in (
        ('TimmClassifier', 'timm', check_timm),
        ('TIMMBackbone', 'timm', check_timm),
        ('HuggingFaceClassifier', 'transformers', check_hugging_face),
    ):
        kind = vars(module).get(name)
        if kind is None or hasattr(kind.__init__, 'explains_missing'):
            continue
        original = kind.__init__

        @functools.wraps(original)
        def __init__(
            self: Any,
            *args: Any,
            original: Any = original,
            package: str = package,
            check: Any = check,
            **kwargs: Any,
        ) -> None:
            if args:
                kwargs = dict(kwargs, model_name=args[0])
                args = args[1:]
            if 'model_name' not in kwargs:
                raise ValueError(
                    f'{type(self).__name__} should have a model_name, but '
                    'none is given'
                )
            # Without the package MMPretrain says how to install it.
            if find_spec(package):
                kwargs.update(check(**kwargs))
            original(self, kwargs.pop('model_name'), *args, **kwargs)

        __init__.explains_missing = True  # type: ignore[attr-defined]
        kind.__init__ = __init__


def check_timm(
    model_name: Any, pretrained: bool = False, **kwargs: Any
) -> dict[str, Any]:
    """Check that timm knows a network, and that its weights can be had.

    Args:
        model_name (str): Its name, with or without a tag of weights, or
            ``hf-hub:owner/name`` or ``local-dir:path``, which are not looked
            at without weights.
        pretrained (bool): Whether weights are to be loaded. Defaults to
            False.
        **kwargs: Other arguments of ``timm.create_model``.

    Returns:
        dict: Arguments to be added; none.

    Raises:
        ValueError: If timm does not know it, or the weights are not there
            and the hub can't be reached.
    """
    import timm
    from timm.models import get_arch_pretrained_cfgs

    from mmdskd.utils.spelling import did_you_mean

    if not isinstance(model_name, str):
        raise ValueError(
            f'model_name should be a name of timm, but got {model_name!r}'
        )
    source, colon, path = model_name.partition(':')
    if colon:
        if source in ('hf-hub', 'hf_hub'):
            _check_hub('model_name', path, (CONFIG,), {})
        return {}
    name, dot, tag = model_name.partition('.')
    if not timm.is_model(name):
        names = timm.list_models()
        raise ValueError(
            f'model_name should be one of the {len(names)} names of '
            f'timm.list_models() of timm {timm.__version__}, but got '
            f'{model_name!r}{did_you_mean(name, names)}'
        )
    known = list(get_arch_pretrained_cfgs(name))
    tags = [other.partition('.')[2] for other in known]
    if dot and tag not in tags:
        raise ValueError(
            f'model_name should be {name} with one of the tags of its '
            f'weights, {", ".join(tags) or "none"}, but got {model_name!r}'
            f'{did_you_mean(tag, tags)}'
        )
    config = timm.get_pretrained_cfg(model_name) if pretrained else None
    if config is not None and config.hf_hub_id and not config.file:
        _check_hub(PRETRAINED, config.hf_hub_id, WEIGHTS, dict(instead=FILE))
    return {}


def check_hugging_face(
    model_name: Any, pretrained: bool = False, **kwargs: Any
) -> dict[str, Any]:
    """Check that a network of transformers is there.

    Args:
        model_name (str): A folder with ``config.json``, or the name of a
            model of the hub.
        pretrained (bool): Whether weights are to be loaded. Defaults to
            False.
        **kwargs: Other arguments of ``from_pretrained``.

    Returns:
        dict: Arguments to be added: ``local_files_only`` if the files are
        there and the hub can't be reached.

    Raises:
        ValueError: If it is no such folder, or not there and the hub can't
            be reached.
    """
    if osp.isdir(str(model_name)):
        if not osp.isfile(osp.join(model_name, CONFIG)):
            raise ValueError(
                f'model_name should be a folder with {CONFIG}, as '
                f'save_pretrained writes it, but {model_name!r} has none'
            )
        _check_kind(model_name)
        return {}
    if not isinstance(model_name, str) or not _is_hub_name(model_name):
        raise ValueError(
            f'model_name should be a folder with {CONFIG}, or the name of a '
            f'model of the Hugging Face Hub, but {model_name!r} is no folder'
        )
    _check_hub('model_name', model_name, (CONFIG,), kwargs)
    if pretrained:
        _check_hub(PRETRAINED, model_name, WEIGHTS, kwargs)
    return {} if hub_problem() is None else {'local_files_only': True}


def _check_kind(folder: str) -> None:
    """Check that a folder is of an image classifier of transformers."""
    from transformers.models.auto import modeling_auto

    names = modeling_auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES
    with open(osp.join(folder, CONFIG), encoding='utf-8') as file:
        config = json.load(file)
    kind = config.get('model_type')
    if kind is None or 'auto_map' in config:
        return  # code of its own, or an error of transformers
    if kind not in names:
        raise ValueError(
            f'model_type in {CONFIG} of {folder} should be that of an image '
            f'classifier of transformers, but got {kind!r}'
        )
    # Otherwise there is no choice.
    if isinstance(names[kind], tuple) and not config.get('architectures'):
        raise ValueError(
            f'{CONFIG} of {folder} should have "architectures": [NAME], with '
            f'one of {", ".join(names[kind])}, as {kind!r} has several'
        )


def _is_hub_name(name: str) -> bool:
    """Whether a name may be one of the hub: "name" or "owner/name"."""
    parts = name.split('/')
    return len(parts) <= 2 and all(
        part and not part.startswith(('.', '~')) for part in parts
    )


def _check_hub(
    what: str, name: str, files: tuple[str, ...], given: dict[str, Any]
) -> None:
    """Check that one of some files of a model is there, or can be had.

    Args:
        what (str): The argument that asks for it.
        name (str): Name of the model.
        files (tuple[str]): The files.
        given (dict): Arguments of ``from_pretrained``.

    Raises:
        ValueError: If it is not there, and the hub can't be reached.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    folder = given.get('cache_dir') or constants.HF_HUB_CACHE
    revision = given.get('revision')
    if any(
        isinstance(try_to_load_from_cache(name, file, folder, revision), str)
        for file in files
    ):
        return
    problem = hub_problem()
    if problem is None:
        return
    where = f'{files[0]} of it is not in the cache {folder}, and {problem}'
    cache = 'set HF_HOME to a cache that has it'
    if what == PRETRAINED:
        raise ValueError(
            f'{what} needs {name!r}, but {where}: {cache}, or '
            + given.get('instead', 'set pretrained=False')
        )
    raise ValueError(
        f'{what} needs {name!r}, but it is no local folder, {where}: name a '
        f'folder that has it, or {cache}'
    )


def hub_problem() -> Optional[str]:
    """Find why the Hugging Face Hub can't be reached, without retries.

    Returns:
        str, optional: The reason, or None if the hub answers.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return 'HF_HUB_OFFLINE is set'
    try:
        get_session().head(constants.ENDPOINT, timeout=HUB_TIMEOUT)
    # Of requests or httpx, by the version of the hub.
    except Exception as error:
        return f'{constants.ENDPOINT} can not be reached ({error})'
    return None
