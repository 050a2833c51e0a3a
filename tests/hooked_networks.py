"""Tiny classifiers whose classes change their state dicts."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn


@MODELS.register_module()
class TinyClassifier(BaseModel):
    """Classifies images into 10 classes."""

    def __init__(self, data_preprocessor=None, init_cfg=None):
        super().__init__(data_preprocessor, init_cfg)
        self.model = nn.Sequential(
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(16, 8),
            nn.BatchNorm1d(8),
            nn.ReLU(),
        )
        self.fc = nn.Linear(8, 10)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        logits = self.fc(self.model(inputs))
        if mode == 'tensor':
            return logits
        if mode == 'loss':
            labels = torch.cat([sample.gt_label for sample in data_samples])
            return dict(loss=F.cross_entropy(logits, labels))
        samples = data_samples or [DataSample() for _ in logits]
        for sample, scores in zip(samples, logits.softmax(1)):
            sample.set_pred_score(scores).set_pred_label(scores.argmax())
        return samples


@MODELS.register_module()
class RenamingClassifier(TinyClassifier):
    """Leaves out "model." in a dict of its own, as TimmClassifier does."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._register_state_dict_hook(self._strip)
        self._register_load_state_dict_pre_hook(self._add)

    @staticmethod
    def _strip(module, state_dict, prefix, local_metadata):
        model = f'{prefix}model.'
        return type(state_dict)(
            (prefix + k[len(model) :] if k.startswith(model) else k, v)
            for k, v in state_dict.items()
        )

    @staticmethod
    def _add(state_dict, prefix, *args):
        for k in list(state_dict):
            name = k[len(prefix) :]
            if not name.startswith('fc.'):
                state_dict[f'{prefix}model.{name}'] = state_dict.pop(k)


@MODELS.register_module()
class InPlaceClassifier(TinyClassifier):
    """Renames its own tensors in the dict that it gets."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._register_state_dict_hook(self._strip)
        self._register_load_state_dict_pre_hook(self._add)

    @staticmethod
    def _strip(module, state_dict, prefix, local_metadata):
        for k in list(state_dict):
            if k.startswith(f'{prefix}fc.'):
                name = k[len(prefix) + 3 :]
                state_dict[f'{prefix}classifier.{name}'] = state_dict.pop(k)

    @staticmethod
    def _add(state_dict, prefix, *args):
        for k in list(state_dict):
            if k.startswith(f'{prefix}classifier.'):
                name = k[len(prefix) + 11 :]
                state_dict[f'{prefix}fc.{name}'] = state_dict.pop(k)


@MODELS.register_module()
class PartialClassifier(TinyClassifier):
    """Saves its last layer alone, as LoRAModel does."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._register_state_dict_hook(self._drop)
        self.register_load_state_dict_post_hook(self._hide)

    @staticmethod
    def _drop(module, state_dict, prefix, local_metadata):
        for k in list(state_dict):
            if 'fc.' not in k:
                state_dict.pop(k)

    @staticmethod
    def _hide(module, incompatible_keys):
        incompatible_keys.missing_keys.clear()
        incompatible_keys.unexpected_keys.clear()


class SecretLinear(nn.Linear):
    """Neither saves nor loads its bias."""

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        destination[f'{prefix}weight'] = (
            self.weight if keep_vars else self.weight.detach()
        )

    def _load_from_state_dict(self, state_dict, prefix, *args):
        self.weight.data.copy_(state_dict[f'{prefix}weight'])


@MODELS.register_module()
class SecretClassifier(TinyClassifier):
    """Has a layer that saves a part of its tensors."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.fc = SecretLinear(8, 10)


@MODELS.register_module()
class ScalingClassifier(TinyClassifier):
    """Saves other values, and undoes that when they are loaded."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._register_state_dict_hook(self._double)
        self._register_load_state_dict_pre_hook(self._halve)

    @staticmethod
    def _double(module, state_dict, prefix, local_metadata):
        state_dict[f'{prefix}fc.weight'] = 2 * state_dict[f'{prefix}fc.weight']

    @staticmethod
    def _halve(state_dict, prefix, *args):
        name = f'{prefix}fc.weight'
        if name in state_dict:
            state_dict[name] = state_dict[name] / 2


CLASSES = (
    TinyClassifier,
    RenamingClassifier,
    InPlaceClassifier,
    PartialClassifier,
    SecretClassifier,
    ScalingClassifier,
)


def randomize(module, seed):
    """Give every tensor of a module values of its own."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in [*module.parameters(), *module.buffers()]:
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=generator))
    return module


@MODELS.register_module()
class CountingClassifier(TinyClassifier):
    """Its logits depend on what is no tensor of it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seen = 0

    def forward(self, inputs, data_samples=None, mode='tensor'):
        self.seen += self.training
        return super().forward(inputs + self.seen, data_samples, mode)


@MODELS.register_module()
class ForgetfulClassifier(TinyClassifier):
    """Its logits depend on a buffer that no checkpoint holds."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.register_buffer('shift', torch.zeros(1), persistent=False)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        if self.training:
            self.shift += 1
        return super().forward(inputs + self.shift, data_samples, mode)


@MODELS.register_module()
class ModuleClassifier(TinyClassifier):
    """Has a part with the name that wrappers give to a network."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.module = self.model
        del self.model

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.fc(self.module(inputs))
