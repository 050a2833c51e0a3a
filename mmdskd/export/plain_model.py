"""The plain model of an algorithm's architecture."""

import copy
from inspect import isfunction
from typing import Any

from mmengine.hub import get_config
from mmengine.registry import MODELS
from mmrazor.registry import sub_model

from mmdskd.utils.config import find_class
from mmdskd.utils.own_weights import is_pretrained

from .fixed_subnet import read_subnet

# Arguments of networks that name weights, which they load when they are built.
WEIGHT_ARGUMENTS = ('pretrained', 'checkpoint_path')


def make_plain_model(
    architecture: dict, scope: str, keep_weights: bool = False
) -> dict:
    """Make the plain model of an architecture, without preprocessor.

    Args:
        architecture (dict): A model, or ``cfg_path='package::path'``, which
            MMRazor hands to :func:`mmengine.hub.get_model`, or MMRazor's
            ``sub_model`` of one of these.
        scope (str): The scope in which the algorithm is built.
        keep_weights (bool): Whether the weights that it starts from stay in
            the config. Defaults to False.

    Returns:
        dict: Config of the model.

    Raises:
        TypeError: If it is a function other than ``sub_model``.
        ValueError: See :func:`read_subnet`.
    """
    if architecture.get('cfg_path') and not architecture.get('type'):
        cfg_path = architecture['cfg_path']
        hub = get_config(cfg_path).to_dict()
        defaults = {
            key: value
            for key, value in architecture.items()
            if key not in ('cfg_path', 'pretrained')
        }
        architecture = {**defaults, **hub['model']}
        if 'data_preprocessor' in hub:
            architecture['data_preprocessor'] = hub['data_preprocessor']
        scope = cfg_path.partition('::')[0]
    model = (
        copy.deepcopy(architecture)
        if keep_weights
        else without_pretrained(architecture)
    )
    model.setdefault('_scope_', scope)
    kind = find_class(MODELS, model, scope)
    if kind is sub_model:
        model['cfg'] = make_plain_model(
            model['cfg'], model['_scope_'], keep_weights
        )
        if isinstance(model['fix_subnet'], str):
            model['fix_subnet'] = read_subnet(model['fix_subnet'])
    elif isfunction(kind):
        raise TypeError(
            'The architecture should be a network, or a sub_model of one, '
            f'but got {model["type"]}, which does not tell the widths of the '
            'pruned student. Let mmrazor.ItePruneValLoop of the pruning write '
            'fix_subnet.json and fix_subnet_weight.pth, and take them by '
            'type="sub_model", mode="mutator".'
        )
    return model


def find_network(model: dict) -> dict:
    """Find the network that a student's config builds and maybe prunes.

    Args:
        model (dict): Config of a plain model, see :func:`make_plain_model`.

    Returns:
        dict: Config of the network: ``cfg`` of a ``sub_model``, or ``model``.
    """
    kind = find_class(MODELS, model, model['_scope_'])
    return find_network(model['cfg']) if kind is sub_model else model


def without_pretrained(node: Any) -> Any:
    """Copy a model config without the weights that it starts from.

    Args:
        node (Any): Config of a model, or a part of it.

    Returns:
        Any: The same without ``init_cfg`` of type ``Pretrained``, and without
        :data:`WEIGHT_ARGUMENTS`.
    """
    if isinstance(node, (list, tuple)):
        return type(node)(map(without_pretrained, node))
    if not isinstance(node, dict):
        return node
    node = {
        key: without_pretrained(value)
        for key, value in node.items()
        if not (key in WEIGHT_ARGUMENTS and value)
    }
    inits = node.get('init_cfg')
    if inits:
        inits = [inits] if isinstance(inits, dict) else inits
        kept = [init for init in inits if not is_pretrained(init)]
        if not kept:
            del node['init_cfg']
        elif len(kept) < len(inits):
            node['init_cfg'] = kept
    return node
