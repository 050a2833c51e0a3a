"""From a trained student to a file for a runtime, compared with it."""

import os.path as osp
import tempfile
from pathlib import Path
from typing import Any, NamedTuple, Optional

import torch
from mmengine.registry import DefaultScope

from mmdskd.models.utils.normalization import reverses_colors
from mmdskd.utils.config import load_config
from mmdskd.utils.files import write_atomically

from .colors import BGR, DATALOADERS, RGB, find_colors, reverse
from .deployable import ALL, DeployableStudent, Graph, check_graph
from .export_check import Comparison, Images, compare, prepare_images
from .export_settings import Settings, check_settings, find_format
from .exporters import BATCH, INPUT, ExportError
from .finished_run import find_run_files
from .image_batch import build_images
from .load_student import Student, load_student
from .metadata import describe_export
from .onnx_file import add_onnx_metadata, find_exporters, open_onnx, write_onnx
from .torchscript_file import open_torchscript, write_torchscript

DEFAULTS = Settings()
BATCH_HINT = (
    '. If the network computes with the size of its batch, try a fixed one, '
    'such as --batch 1'
)


class Export(NamedTuple):
    """What was exported.

    Attributes:
        path (str): The file.
        how (str): The exporter, and the version of the operators.
        notes (list[str]): What failed before, one line for each exporter.
        metadata (dict[str, str]): What is written in it.
        shapes (dict[str, list]): Shapes of the input and the outputs.
        comparison (Comparison, optional): How it differs from the student,
            None if it was not compared.
    """

    path: str
    how: str
    notes: list[str]
    metadata: dict[str, str]
    shapes: dict[str, list]
    comparison: Optional[Comparison]


def export_run(
    run: str,
    path: str,
    checkpoint: Optional[str] = None,
    settings: Settings = DEFAULTS,
    force: bool = False,
) -> Export:
    """Export the student of a finished run, in one call.

    Args:
        run (str): The ``work_dir`` of the run, or a config.
        path (str): The file to write: ``.onnx`` or ``.pt``.
        checkpoint (str, optional): The checkpoint, see
            :func:`~mmdskd.export.finished_run.find_run_files`. Defaults to
            None, for the best one of the folder.
        settings (Settings): How it is exported.
        force (bool): Whether a file that is there is replaced. Defaults to
            False.

    Returns:
        Export: What was exported.

    Raises:
        ExportError: If the student can't be exported, or what comes out
            differs from it.
        ImportError: If an exporter is missing.
        OSError: If a file is missing, or can't be written.
        ValueError: If the settings do not fit.
    """
    check_settings(path, settings, force)
    exits = settings.graph.exit is not None
    files = find_run_files(run, checkpoint, exits)
    student = load_student(load_config(files.config), files.checkpoint, exits)
    return export_student(student, path, give_all_exits(student, settings))


def give_all_exits(student: Student, settings: Settings) -> Settings:
    """Let a multi-exit student give all exits, unless one is asked for.

    Args:
        student (Student): The student.
        settings (Settings): How it is exported.

    Returns:
        Settings: The same, with ``exit="all"`` for a multi-exit student.
    """
    if not student.num_exits or settings.graph.exit is not None:
        return settings
    return settings._replace(graph=settings.graph._replace(exit=ALL))


def export_student(
    student: Student, path: str, settings: Settings = DEFAULTS
) -> Export:
    """Export a student, and compare the file with it before it is kept.

    Args:
        student (Student): The student.
        path (str): The file to write. One that is there is replaced.
        settings (Settings): How it is exported.

    Returns:
        Export: What was exported.

    Raises:
        ExportError: If it can't be exported, or what comes out differs. No
            file is left then, and one that was there stays.
        ValueError: If the student can't give what is asked for.
    """
    kind = find_format(path, settings.format)
    network = student.network
    check_graph(network, settings.graph)
    batch = take_batch(student, settings)
    preprocessor: Any = network.data_preprocessor
    colors = find_colors(student.cfg, preprocessor, len(batch['inputs'][0]))
    graph, colors = _choose_colors(settings, colors, network)
    images = prepare_images(network, graph, batch)
    module = DeployableStudent(network, graph)
    names = module.output_names(len(images.outputs))
    size: Any = settings.batch or BATCH
    shapes = {
        name: [size, *tensor.shape[1:]]
        for name, tensor in zip(
            (INPUT, *names), (images.inputs, *images.outputs)
        )
    }
    metadata = describe_export(student, graph, colors, shapes)
    if images.are_pixels:
        metadata['range'] = '[0, 255]'
    # For torch.export, 0 and 1 are values of their own.
    rows = [row % len(images.inputs) for row in range(settings.batch or 2)]
    example = images.inputs[rows].contiguous()
    notes: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        draft = osp.join(folder, 'student' + osp.splitext(path)[1])
        # TorchScript has one way.
        for exporter in find_exporters() if kind == 'onnx' else ['']:
            try:
                if kind == 'onnx':
                    how = write_onnx(
                        module,
                        example,
                        draft,
                        names,
                        settings.batch,
                        settings.opset,
                        exporter,
                    )
                    add_onnx_metadata(draft, metadata)
                else:
                    how = write_torchscript(module, example, draft, metadata)
                comparison = (
                    _check(draft, kind, images, settings)
                    if settings.check
                    else None
                )
                break
            except ExportError as error:
                notes.append(str(error))
        else:
            raise ExportError(
                f'No file was written: {"; ".join(notes)}'
                + ('' if settings.batch else BATCH_HINT)
            )
        content = Path(draft).read_bytes()
    write_atomically(path, lambda file: file.write(content))
    return Export(path, how, notes, metadata, shapes, comparison)


def take_batch(student: Student, settings: Settings) -> dict:
    """Take images of the run, or random ones of a given shape.

    Args:
        student (Student): The student.
        settings (Settings): How many, or which shape.

    Returns:
        dict: A batch with ``inputs``.

    Raises:
        ValueError: If the run has no images.
    """
    number = settings.num_images
    if settings.shape is not None:
        generator = torch.Generator().manual_seed(0)
        return dict(
            inputs=torch.randint(
                256, (number, *settings.shape), generator=generator
            ).to(torch.uint8)
        )
    with DefaultScope.overwrite_default_scope(
        student.cfg.get('default_scope') or 'mmengine'
    ):
        try:
            images = build_images(student.cfg, number, DATALOADERS)
        # The data may be anywhere, or gone.
        except Exception as error:
            images, reason = None, f'{type(error).__name__}: {error}'
        else:
            reason = 'the config has no data with an index'
    if images is None:
        raise ValueError(
            'The file should be compared on images of the run, but there are '
            f'none ({reason}). Give the shape of an image, such as 3,224,224, '
            'to compare on random images'
        )
    if not isinstance(images, dict) or 'inputs' not in images:
        raise ValueError(
            'A batch of the run should be a dict with "inputs", as PackInputs '
            f'makes it, but is a {type(images).__name__}'
        )
    return images


def _choose_colors(
    settings: Settings, raw: str, network: Any
) -> tuple[Graph, str]:
    """Choose the order of the colours that the graph takes."""
    graph = settings.graph
    if graph.normalize == 'outside':
        swaps = reverses_colors(network.data_preprocessor)
        return graph, reverse(raw) if swaps else raw
    if settings.colors is None or settings.colors == raw:
        return graph, raw
    if raw not in (RGB, BGR):
        raise ValueError(
            f'colors should be left out for images whose order is {raw}, but '
            f'got {settings.colors!r}'
        )
    return graph._replace(flip=True), settings.colors


def _check(
    path: str, kind: str, images: Images, settings: Settings
) -> Comparison:
    """Run a file, and compare it with the student."""
    run = open_onnx(path) if kind == 'onnx' else open_torchscript(path)
    comparison = compare(run, images, settings.batch)
    if comparison.relative > settings.tolerance:
        raise ExportError(
            f'what comes out differs from the student: {comparison}; at most '
            f'{settings.tolerance:g} is allowed'
        )
    return comparison
