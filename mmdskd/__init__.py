"""Deeply-supervised knowledge distillation for MMRazor.

``import mmdskd`` makes the OpenMMLab stack work on the installed PyTorch (see
:mod:`mmdskd.compat`). The components themselves are imported when a registry
first looks one up, so nothing else has to be imported.
"""

import sys

from .version import __version__

__all__ = ['__version__']

# While Python locates the module of `python -m mmdskd.doctor`, it imports
# this package, with '-m' as `sys.argv[0]`. The doctor must run exactly where
# the stack cannot be imported. Python 3.9 does not tell which module it is.
_DOCTOR = sys.argv[:1] == ['-m'] and 'mmdskd.doctor' in getattr(
    sys, 'orig_argv', ['mmdskd.doctor']
)

try:
    if not _DOCTOR or not hasattr(sys, 'orig_argv'):
        from .compat import apply_patches

        apply_patches()
except Exception as error:
    if not _DOCTOR:
        from .doctor import explain

        raise ImportError(explain(error)) from error
