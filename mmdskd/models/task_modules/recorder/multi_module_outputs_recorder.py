"""Record the outputs of several modules of a model."""

import difflib
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Any, ClassVar, Optional

from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder
from torch import Tensor, nn

from mmdskd.registry import TASK_UTILS
from mmdskd.utils.rules import TEXT, ListOf


@TASK_UTILS.register_module()
class MultiModuleOutputsRecorder(BaseRecorder):
    """Recorder for the outputs of several modules of one model.

    MMRazor's ``ModuleOutputs`` records one module. This recorder holds one
    record: the list of the outputs of all ``sources``, in the order of
    ``sources``, whatever order the forward runs the modules in. In a config
    its type is ``mmdskd.MultiModuleOutputs`` (MMRazor appends ``Recorder``).

    The recorded tensors are part of the autograd graph of the forward.
    :class:`~mmdskd.engine.LossWeightSchedulerHook` lets go of them after
    each iteration; copies and pickles of the recorder never hold any.

    Args:
        sources (Sequence[str]): Names of the modules, as in
            ``model.named_modules()``, each at most once, e.g.
            ``['backbone.layer1', 'backbone.layer2']``.

    Raises:
        TypeError: If ``sources`` is not a sequence of names.
        ValueError: If ``sources`` is empty or names a module twice.

    Examples:
        >>> import torch
        >>> from mmdskd.models import MultiModuleOutputsRecorder
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        >>> recorder = MultiModuleOutputsRecorder(['1', '0'])
        >>> recorder.initialize(model)
        >>> with recorder:
        ...     _ = model(torch.ones(4, 2))
        >>> [output.shape for output in recorder.get_record_data()]
        [torch.Size([4, 3]), torch.Size([4, 3])]
    """

    #: What the arguments should be.
    VALUES: ClassVar[dict[str, Any]] = dict(sources=ListOf(TEXT))

    def __init__(self, sources: Sequence[str]) -> None:
        if not isinstance(sources, (list, tuple)) or not all(
            isinstance(source, str) for source in sources
        ):
            raise TypeError(
                'sources should be a list of module names, but '
                f'got {sources!r}'
            )
        if not sources:
            raise ValueError(
                'sources should name at least one module, but it is empty'
            )
        twice = sorted({s for s in sources if list(sources).count(s) > 1})
        if twice:
            raise ValueError(
                'Each module can be a source once, but '
                f'{", ".join(twice)} is given twice in sources '
                f'{list(sources)}'
            )
        super().__init__(source=', '.join(sources))
        self.sources = list(sources)
        self._outputs: dict[str, Any] = dict()
        # Counts of the in-place changes of the outputs, as recorded.
        self._versions: dict[str, Optional[int]] = dict()
        self._recording = False
        self._handles: list = []

    def prepare_from_model(self, model: Optional[nn.Module] = None) -> None:
        """Register a forward hook on every source, and take off those that
        were registered before.

        Args:
            model (nn.Module): The model whose modules are recorded.

        Raises:
            TypeError: If ``model`` is not a module.
            KeyError: If a source is not a module of ``model``.
        """
        if not isinstance(model, nn.Module):
            raise TypeError(
                f'model should be an nn.Module, but got {type(model).__name__}'
            )
        modules = dict(model.named_modules())
        modules.pop('', None)
        for source in self.sources:
            if source not in modules:
                near = difflib.get_close_matches(source, modules, n=3)
                hint = (
                    f'did you mean {" or ".join(map(repr, near))}?'
                    if near
                    else 'its top modules are '
                    f'{[name for name, _ in model.named_children()]}'
                )
                raise KeyError(
                    f'{source!r} is not a module of '
                    f'{type(model).__name__}; {hint}'
                )
        self.remove_hooks()
        # A partial of a bound method follows its recorder through copies and
        # pickles of the model; a closure would keep the original.
        self._handles = [
            modules[source].register_forward_hook(
                partial(self.forward_hook, source)
            )
            for source in self.sources
        ]

    def forward_hook(
        self, source: str, module: nn.Module, inputs: tuple, outputs: Any
    ) -> None:
        """Save the output of ``source``.

        Raises:
            RuntimeError: If ``source`` has run already in this forward.
        """
        if not self._recording:
            return
        if source in self._outputs:
            raise RuntimeError(
                f'{source!r} runs more than once in a forward; '
                'MultiModuleOutputs records modules that run exactly once. '
                'Name its parent or a module within it instead'
            )
        self._outputs[source] = outputs
        self._versions[source] = _version(outputs)

    def get_record_data(
        self, record_idx: int = 0, data_idx: Optional[int] = None
    ) -> Any:
        """Get what was recorded.

        Args:
            record_idx (int): Only 0, as there is one record. Defaults to 0.
            data_idx (int, optional): Position in ``sources`` of the one
                output to get. Defaults to None, for all.

        Returns:
            list[Any] or Any: The outputs of the sources, in their order, or
            one of them.

        Raises:
            RuntimeError: If nothing is recorded, or, within the context, as
                on leaving it.
        """
        # AutoSlim and DMCP compute the losses within the context.
        if self._recording and not self._data_buffer:
            self._collect()
        if not self._data_buffer:
            raise RuntimeError(
                'Nothing is recorded: run the model in the context of its '
                'recorder ("with recorder: model(images)"). What was recorded '
                'before is gone after reset_data_buffer'
            )
        return super().get_record_data(record_idx, data_idx)

    def reset_data_buffer(self) -> None:
        """Let go of all recorded outputs."""
        super().reset_data_buffer()
        self._outputs = dict()

    def remove_hooks(self) -> None:
        """Take the hooks off the model; ``initialize`` attaches anew."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._initialized = False

    def __enter__(self) -> None:
        """Start recording."""
        super().__enter__()
        self._recording = True

    def __exit__(
        self,
        exc_type: Optional[type[BaseException]],
        exc_value: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        """Stop recording and put the outputs in the order of ``sources``.

        Raises:
            RuntimeError: If a source has not run in the forward, or its
                output was changed in place afterwards.
        """
        super().__exit__(exc_type, exc_value, traceback)
        self._recording = False
        if exc_type is None and not self._data_buffer:
            self._collect()
        self._outputs = dict()

    def _collect(self) -> None:
        """Make one record of the outputs."""
        outputs, self._outputs = self._outputs, dict()
        not_run = [s for s in self.sources if s not in outputs]
        if not_run:
            run = [s for s in self.sources if s in outputs]
            raise RuntimeError(
                f'{", ".join(map(repr, not_run))} did not run in the forward, '
                f'so nothing was recorded; of its sources, {run} did run'
            )
        changed = [
            s
            for s in self.sources
            if _version(outputs[s]) != self._versions[s]
        ]
        if changed:
            raise RuntimeError(
                f'The output of {", ".join(map(repr, changed))} was changed '
                'in place after it was recorded, as by `out += identity` in '
                'a residual block, so it is not what the module returned. '
                'Name the module around it instead'
            )
        self._data_buffer.append([outputs[s] for s in self.sources])

    def __getstate__(self) -> dict:
        """Leave the recorded tensors out of copies and pickles: they belong
        to one forward of the original."""
        return {**self.__dict__, '_data_buffer': [], '_outputs': {}}


def _version(outputs: Any) -> Optional[int]:
    """How often a tensor was changed in place, as far as PyTorch counts."""
    if not isinstance(outputs, Tensor) or outputs.is_inference():
        return None
    return outputs._version
