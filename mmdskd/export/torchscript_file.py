"""Write a network as TorchScript, and run what was written."""

import json

import torch
from torch import Tensor, nn

from .exporters import ExportError, Run, first_line, quiet

METADATA_FILE = 'metadata.json'


def write_torchscript(
    module: nn.Module, images: Tensor, path: str, metadata: dict[str, str]
) -> str:
    """Write a network as TorchScript, traced and frozen.

    Args:
        module (nn.Module): The network, in eval mode.
        images (Tensor): Its input, (N, C, H, W).
        path (str): The file.
        metadata (dict[str, str]): Names and texts, which go with the file as
            ``metadata.json``.

    Returns:
        str: How it was written.

    Raises:
        ExportError: If it can't be traced.
    """
    extra = {METADATA_FILE: json.dumps(metadata, indent=2)}
    try:
        with quiet(), torch.no_grad():
            traced = torch.jit.trace(module, (images,), check_trace=False)
            frozen = torch.jit.freeze(traced.eval())
            torch.jit.save(frozen, path, _extra_files=extra)
    # Whatever a trace meets in a network
    except Exception as error:
        raise ExportError(
            f'torch.jit.trace of torch {torch.__version__} failed: '
            f'{first_line(error)}'
        ) from error
    return 'TorchScript, traced and frozen'


def open_torchscript(path: str) -> Run:
    """Open a TorchScript file on the CPU.

    Args:
        path (str): The file.

    Returns:
        Run: From images to outputs.
    """
    with quiet():
        module = torch.jit.load(path, map_location='cpu')

    @torch.no_grad()
    def run(images: Tensor) -> list[Tensor]:
        outputs = module(images)
        return list(outputs) if isinstance(outputs, tuple) else [outputs]

    return run
