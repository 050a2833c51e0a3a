"""Write a network as ONNX, and run what was written."""

import inspect
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Callable, Optional

import torch
from torch import Tensor, nn

from .exporters import BATCH, INPUT, ExportError, Run, first_line, quiet

# The exporters of torch: by torch.export, and by tracing, the older one.
DYNAMO, TRACING = 'dynamo', 'tracing'
# The oldest version of operators that any exporter of torch knows.
MIN_OPSET = 7


def check_packages(check: bool = True) -> None:
    """See that the packages for ONNX are installed.

    Args:
        check (bool): Whether the file is run as well. Defaults to True.

    Raises:
        ImportError: If one of them is missing.
    """
    needed = ('onnx', *(('onnxruntime',) if check else ()))
    missing = [name for name in needed if find_spec(name) is None]
    if not missing:
        return
    command = f'pip install {" ".join(missing)}'
    if _prefers_dynamo() and find_spec('onnxscript') is None:
        command += ' onnxscript'
    raise ImportError(
        f'The export to ONNX needs {" and ".join(missing)}, but '
        f'{"they are" if len(missing) > 1 else "it is"} not '
        f'installed: {command}'
        + (
            ', or --no-check to write the file without running it'
            if missing == ['onnxruntime']
            else ''
        )
    )


def check_opset(opset: int) -> None:
    """Check a version of the operators.

    Args:
        opset (int): The version.

    Raises:
        ValueError: If torch or onnx does not know it.
    """
    newest = import_module('onnx').defs.onnx_opset_version()
    if not MIN_OPSET <= opset <= newest:
        raise ValueError(
            f'opset should be from {MIN_OPSET} to {newest}, the newest one of '
            f'the installed onnx, but got {opset}'
        )


def find_exporters(
    export: Optional[Callable] = None, has_script: Optional[bool] = None
) -> list[str]:
    """Find the exporters that this torch has.

    Args:
        export (Callable, optional): ``torch.onnx.export`` of another torch.
            Defaults to None, for that of this one.
        has_script (bool, optional): Whether onnxscript is installed, which
            the newer exporter needs. None to look. Defaults to None.

    Returns:
        list[str]: "dynamo" and "tracing", the default of this torch first.
    """
    if has_script is None:
        has_script = find_spec('onnxscript') is not None
    parameters = inspect.signature(export or torch.onnx.export).parameters
    # Before torch 2.6, it took no shapes.
    if not has_script or 'dynamic_shapes' not in parameters:
        return [TRACING]
    if _prefers_dynamo(export):
        return [DYNAMO, TRACING]
    return [TRACING, DYNAMO]


def _prefers_dynamo(export: Optional[Callable] = None) -> bool:
    """Whether the default exporter is the newer one, as of torch 2.9."""
    parameters = inspect.signature(export or torch.onnx.export).parameters
    parameter = parameters.get('dynamo')
    return parameter is not None and parameter.default is True


def write_onnx(
    module: nn.Module,
    images: Tensor,
    path: str,
    names: Sequence[str],
    batch: Optional[int] = None,
    opset: Optional[int] = None,
    exporter: Optional[str] = None,
) -> str:
    """Write a network as ONNX.

    Args:
        module (nn.Module): The network, in eval mode.
        images (Tensor): Its input, (N, C, H, W).
        path (str): The file.
        names (Sequence[str]): Names of its outputs.
        batch (int, optional): Size of the batch, None for any. Defaults to
            None.
        opset (int, optional): Version of the operators. Defaults to None, for
            that of the exporter.
        exporter (str, optional): "dynamo" or "tracing". Defaults to None, for
            the first of :func:`find_exporters`.

    Returns:
        str: The version of the operators, and the exporter.

    Raises:
        ExportError: If the exporter can't.
    """
    exporter = exporter or find_exporters()[0]
    try:
        with quiet(), torch.no_grad():
            _call_exporter(exporter, module, images, path, names, batch, opset)
        found = _read_opset(path)
    # Whatever an exporter meets in a network
    except Exception as error:
        raise ExportError(
            f'the {exporter} exporter of torch {torch.__version__} failed: '
            f'{first_line(error)}'
        ) from error
    if opset is not None and found != opset:
        raise ExportError(
            f'the {exporter} exporter of torch {torch.__version__} wrote '
            f'opset {found}, where {opset} was asked for'
        )
    return f'ONNX opset {found}, {exporter} exporter'


def _call_exporter(
    exporter: str,
    module: nn.Module,
    images: Tensor,
    path: str,
    names: Sequence[str],
    batch: Optional[int],
    opset: Optional[int],
) -> None:
    """Call ``torch.onnx.export`` as its version takes it."""
    options: dict[str, Any] = dict(
        input_names=[INPUT], output_names=list(names), opset_version=opset
    )
    known = inspect.signature(torch.onnx.export).parameters
    if exporter == DYNAMO:
        options.update(dynamo=True, external_data=False, verbose=False)
        if batch is None:
            # min: 0 and 1 are values of their own for torch.export
            size = torch.export.Dim(BATCH, min=1)
            options['dynamic_shapes'] = ({0: size},)
    else:
        if 'dynamo' in known:
            options['dynamo'] = False
        if batch is None:
            options['dynamic_axes'] = {
                name: {0: BATCH} for name in (INPUT, *names)
            }
    options = {
        name: value
        for name, value in options.items()
        if name in known and value is not None
    }
    torch.onnx.export(module, (images,), path, **options)


def _read_opset(path: str) -> int:
    """Check an ONNX file, and read the version of its operators."""
    onnx = import_module('onnx')
    model = onnx.load(path)
    onnx.checker.check_model(model)
    return next(o.version for o in model.opset_import if not o.domain)


def add_onnx_metadata(path: str, metadata: dict[str, str]) -> None:
    """Write what a user of an ONNX file needs to know into it.

    What the exporter has written there, the lines of code of each node with
    the paths of this machine, goes: in a small student it is most of the file.

    Args:
        path (str): The file, changed in place.
        metadata (dict[str, str]): Names and texts.
    """
    onnx = import_module('onnx')
    model = onnx.load(path)
    graph = model.graph
    for part in (graph, *graph.node, *graph.value_info, *graph.input):
        part.ClearField('doc_string')
        if hasattr(part, 'metadata_props'):  # as of onnx 1.16
            part.ClearField('metadata_props')
    onnx.helper.set_model_props(model, metadata)
    model.producer_name = 'mmdskd'
    model.producer_version = metadata.get('mmdskd_version', '')
    onnx.save(model, path)


def open_onnx(path: str, threads: Optional[int] = None) -> Run:
    """Open an ONNX file with ONNX Runtime on the CPU.

    Args:
        path (str): The file.
        threads (int, optional): Number of threads. Defaults to None, for
            those of torch.

    Returns:
        Run: From images to outputs.
    """
    runtime = import_module('onnxruntime')
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    session = runtime.InferenceSession(
        path, options, providers=['CPUExecutionProvider']
    )

    def run(images: Tensor) -> list[Tensor]:
        outputs = session.run(None, {INPUT: images.numpy()})
        return [torch.from_numpy(output) for output in outputs]

    return run
