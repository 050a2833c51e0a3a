"""What MMRazor's pictures of recorded feature maps need.

A patch gets the module that has just been imported.
"""

from functools import wraps
from inspect import signature
from types import ModuleType
from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    import numpy as np


class SavingVisualizer:
    """Draw by a visualizer, and save what it cannot save itself.

    Args:
        visualizer (Visualizer): One of MMEngine or of MMPretrain.
    """

    def __init__(self, visualizer: Any) -> None:
        self.visualizer = visualizer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.visualizer, name)

    def add_datasample(
        self,
        name: str,
        image: 'np.ndarray',
        *,
        show: bool = False,
        wait_time: float = 0,
        out_file: Optional[str] = None,
        step: int = 0,
        **kwargs: Any,
    ) -> None:
        """Show, save or log a picture.

        Args:
            name (str): Name of the picture.
            image (np.ndarray): The picture, RGB, (H, W, 3).
            show (bool): Whether to show it. Defaults to False.
            wait_time (float): Time to show it, in seconds. Defaults to 0.
            out_file (str, optional): Where to save it. Defaults to None,
                for the backends of the visualizer.
            step (int): Step of the run. Defaults to 0.
            **kwargs: What else MMRazor gives; there is no sample to draw.
        """
        if show:
            self.visualizer.show(image, win_name=name, wait_time=wait_time)
        if out_file is None:
            self.visualizer.add_image(name, image, step=step)
        else:
            import mmcv

            mmcv.imwrite(image[..., ::-1], out_file)


def save_without_help_of_visualizer(visualization_hook: ModuleType) -> None:
    """Let ``RazorVisualizationHook`` draw by any visualizer.

    It hands ``out_file`` to ``add_datasample``, which only the visualizers of
    mmcls and MMDetection take, not those of MMEngine and MMPretrain. (No
    issue of it is known.)

    Args:
        visualization_hook (ModuleType): Module of the hook.
    """
    hook_class = visualization_hook.RazorVisualizationHook
    init = hook_class.__init__
    if init.__module__ == __name__:
        return

    @wraps(init, assigned=('__doc__',))
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        add = signature(self._visualizer.add_datasample).parameters
        if 'out_file' not in add:
            self._visualizer = SavingVisualizer(self._visualizer)

    hook_class.__init__ = __init__
