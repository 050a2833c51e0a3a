"""Image classifiers of torchvision."""

from typing import Any, ClassVar, Optional

from mmpretrain.models.classifiers.base import BaseClassifier
from mmpretrain.structures import DataSample
from torch import Tensor
from torchvision import models

from mmdskd.registry import MODELS
from mmdskd.utils.rules import COUNT, FLAG, TEXT, Kind, optional
from mmdskd.utils.spelling import did_you_mean
from mmdskd.utils.values import check_values


@MODELS.register_module()
class TorchvisionClassifier(BaseClassifier):
    """An image classifier of torchvision, as student or teacher.

    It is to torchvision what MMPretrain's ``TimmClassifier`` is to timm. The
    network is its child ``model``, so that the modules have the names of
    torchvision after it, such as ``model.layer1``.

    Args:
        model_name (str): Name of the network, one of
            ``torchvision.models.list_models(module=torchvision.models)``.
        pretrained (bool): Whether to load the default weights of torchvision
            for it. Layers of another shape, such as the classifier for
            another number of classes, stay as they are. Defaults to False.
        head (dict, optional): Config of a head without layers, for the loss
            and the predictions. None means MMPretrain's ``ClsHead``, with
            cross entropy. Defaults to None.
        train_cfg (dict, optional): ``augments``, the batch augmentations, as
            of :class:`mmpretrain.ImageClassifier`. Defaults to None.
        data_preprocessor (dict, optional): Config of the preprocessor of the
            images. None means MMPretrain's ``ClsDataPreprocessor``. Defaults
            to None.
        init_cfg (dict, optional): See :class:`mmengine.model.BaseModule`.
            Defaults to None.
        **kwargs: Arguments of the network, such as ``num_classes``, which
            torchvision sets to 1000.

    Attributes:
        num_classes (int): Number of classes.
        default_weights (WeightsEnum): The default weights of torchvision for
            it, which say what images they are for.

    Raises:
        OSError: If the weights can't be downloaded.
        ValueError: If torchvision has no such classifier, or it returns more
            than its logits in training.

    Examples:
        >>> model = dict(
        ...     type='mmdskd.TorchvisionClassifier', _scope_='mmpretrain',
        ...     model_name='resnet18', num_classes=10)
    """

    #: What the arguments should be.
    VALUES: ClassVar[dict[str, Any]] = dict(
        model_name=TEXT,
        pretrained=FLAG,
        head=optional(Kind()),
        num_classes=COUNT,
    )

    def __init__(
        self,
        model_name: str,
        pretrained: bool = False,
        head: Optional[dict] = None,
        train_cfg: Optional[dict] = None,
        data_preprocessor: Optional[dict] = None,
        init_cfg: Optional[dict] = None,
        **kwargs: Any,
    ) -> None:
        given = dict(
            kwargs, model_name=model_name, pretrained=pretrained, head=head
        )
        check_values('TorchvisionClassifier', self.VALUES, given)
        names = models.list_models(module=models)
        if model_name not in names:
            raise ValueError(
                'model_name should be an image classifier of torchvision, but '
                f'got {model_name!r}{did_you_mean(model_name, names)}'
            )
        preprocessor = dict(
            dict(type='mmpretrain.ClsDataPreprocessor'),
            **(data_preprocessor or {}),
        )
        if train_cfg and train_cfg.get('augments'):
            preprocessor['batch_augments'] = train_cfg
        super().__init__(init_cfg, preprocessor)
        if 'weights' in kwargs:
            raise ValueError(
                'TorchvisionClassifier has no argument "weights": set '
                'pretrained=True for the default weights'
            )
        self.model = models.get_model(model_name, weights=None, **kwargs)
        # Of all classifiers of torchvision, which do not keep the number.
        self.num_classes: int = kwargs.get('num_classes', 1000)
        self.default_weights = models.get_model_weights(model_name).DEFAULT
        if getattr(self.model, 'aux_logits', False):
            raise ValueError(
                f'{model_name} should return its logits alone in training, '
                'but it adds those of auxiliary classifiers: set '
                'aux_logits=False'
            )
        if pretrained:
            self._load_weights()
        self.head = MODELS.build(
            dict(_scope_='mmpretrain', **(head or dict(type='ClsHead')))
        )

    def _load_weights(self) -> None:
        """Load those default weights of torchvision whose shapes fit."""
        weights = self.default_weights
        try:
            tensors = weights.get_state_dict(progress=False)
        except OSError as error:
            raise OSError(
                f'pretrained=True needs {weights.url}, but it can not be '
                f'downloaded ({error}): put the file into the folder '
                'hub/checkpoints of TORCH_HOME, or set pretrained=False'
            ) from error
        own = self.model.state_dict()
        self.model.load_state_dict(
            {
                name: tensor
                for name, tensor in tensors.items()
                if name in own and own[name].shape == tensor.shape
            },
            strict=False,
        )

    def forward(
        self,
        inputs: Tensor,
        data_samples: Optional[list[DataSample]] = None,
        mode: str = 'tensor',
    ) -> Any:
        """Compute logits, losses or predictions.

        Args:
            inputs (Tensor): Images, (N, C, H, W).
            data_samples (list[DataSample], optional): One per image; those
                of mode "loss" have labels. Defaults to None.
            mode (str): "tensor", "loss" or "predict". Defaults to "tensor".

        Returns:
            Tensor or dict or list[DataSample]: Logits (N, K), the losses by
            name, or the predictions.

        Raises:
            RuntimeError: If ``mode`` is another one.
        """
        if mode == 'tensor':
            return self.model(inputs)
        if mode == 'loss':
            return self.loss(inputs, data_samples or [])
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        raise RuntimeError(
            f'mode should be "tensor", "loss" or "predict", but got "{mode}"'
        )

    def loss(
        self, inputs: Tensor, data_samples: list[DataSample]
    ) -> dict[str, Tensor]:
        """Compute the losses.

        Args:
            inputs (Tensor): Images, (N, C, H, W).
            data_samples (list[DataSample]): One per image, with labels.

        Returns:
            dict[str, Tensor]: The losses by name.
        """
        return self.head.loss((self.model(inputs),), data_samples)

    def predict(
        self, inputs: Tensor, data_samples: Optional[list[DataSample]] = None
    ) -> list[DataSample]:
        """Predict.

        Args:
            inputs (Tensor): Images, (N, C, H, W).
            data_samples (list[DataSample], optional): Samples to which the
                predictions are added. Defaults to None.

        Returns:
            list[DataSample]: One per image, with ``pred_score`` and
            ``pred_label``.
        """
        return self.head.predict((self.model(inputs),), data_samples)
