"""Maps of features, for MMRazor's losses."""

from typing import Any, ClassVar, Optional, Union

from mmrazor.models.architectures.connectors.base_connector import (
    BaseConnector,
)
from torch import Tensor

from mmdskd.models.utils.feature_layout import LAYOUT, FeatureLayout
from mmdskd.registry import MODELS
from mmdskd.utils.config import AUTO, check_resolved
from mmdskd.utils.rules import AnyOf, Choice


@MODELS.register_module()
class FeatureMapConnector(BaseConnector):
    """Bring a recorded feature to a map (N, C, H, W).

    It stands between the recorder of a transformer and a loss that wants
    maps, such as :class:`~mmdskd.models.DSKDLoss` for ``feat_T``, or a loss
    of MMRazor. It has no parameters.

    Args:
        layout (str or dict): Layout of the feature, see
            :class:`~mmdskd.models.FeatureLayout`: "NCHW", "NHWC", "NLC" or,
            with a class token, ``dict(order='NLC', num_extra_tokens=1)``.
            "auto" is for configs that
            :func:`mmdskd.utils.resolve_auto` goes through.
        init_cfg (dict, optional): Kept for the signature of MMRazor's
            connectors. Defaults to None.

    Raises:
        ValueError: If ``layout`` is not a layout, or still "auto".

    Examples:
        >>> import torch
        >>> from mmdskd.models import FeatureMapConnector
        >>> connector = FeatureMapConnector(
        ...     dict(order='NLC', num_extra_tokens=1))
        >>> connector(torch.rand(2, 50, 192)).shape
        torch.Size([2, 192, 7, 7])
    """

    #: What the arguments should be.
    VALUES: ClassVar[dict[str, Any]] = dict(
        layout=AnyOf((LAYOUT, Choice((AUTO,))))
    )

    def __init__(
        self, layout: Union[str, dict], init_cfg: Optional[dict] = None
    ) -> None:
        super().__init__(init_cfg)
        check_resolved('FeatureMapConnector', layout=layout)
        self.layout = FeatureLayout.parse(layout)

    def forward_train(self, feature: Any) -> Tensor:
        """Bring the feature to a map.

        Args:
            feature (Tensor or tuple): The recorded output, see
                :meth:`~mmdskd.models.FeatureLayout.to_map`.

        Returns:
            Tensor: The map, (N, C, H, W).

        Raises:
            TypeError: If there is not exactly one tensor.
            ValueError: If its shape is not that of ``layout``.
        """
        return self.layout.to_map(feature)
