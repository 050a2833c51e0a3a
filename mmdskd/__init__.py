"""Deeply-supervised knowledge distillation for MMRazor.

``import mmdskd`` makes the OpenMMLab stack work on the installed PyTorch (see
:mod:`mmdskd.compat`), and imports none of it. The components themselves are
imported when a registry first looks one up, so nothing else has to be
imported.
"""

import sys

from .version import MIN_PYTHON, __version__

if sys.version_info < MIN_PYTHON:
    raise ImportError(
        'mmdskd needs Python {}.{} or newer, but this is {}.{}: '
        'python3.12 -m venv .venv'.format(*MIN_PYTHON, *sys.version_info)
    )

from .compat import apply_patches, check_stack, explain_failed_import

__all__ = ['__version__']

try:
    apply_patches()
    # `python -m mmdskd.doctor` must run where the stack is broken. It imports
    # this package while Python locates the module, with '-m' in `sys.argv`.
    if sys.argv[:1] != ['-m']:
        check_stack()
except Exception as error:
    explain_failed_import('mmdskd', error)
