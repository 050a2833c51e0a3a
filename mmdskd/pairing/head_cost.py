from typing import NamedTuple

# A head is narrowed until all of them cost no more than this share of the
# student's FLOPs, or it is this wide.
HEAD_SHARE = 0.5


MIN_HEAD_WIDTH = 128


HEADER = (
    'branch',
    'feature',
    'head parameters',
    'head FLOPs',
    "of the student's FLOPs",
)


class Head(NamedTuple):
    """Cost of the head of a branch for one image, in training only.

    Attributes:
        parameters (int): Its parameters.
        flops (int): Its FLOPs, see :func:`count_flops`.
    """

    parameters: int
    flops: int
