"""A teacher that lives outside the module tree of its algorithm."""

import copy
from typing import Any

from mmrazor.models.algorithms import SingleTeacherDistill


class OutsideTeacher(SingleTeacherDistill):
    """MMRazor's distillation where ``teacher`` is an attribute, but no child.

    The teacher follows the algorithm from device to device, and stays in eval
    mode. Copies of the algorithm share it, and don't move it.
    """

    _moves_teacher: bool

    def train(self, mode: bool = True) -> 'OutsideTeacher':
        """Set the mode of student and distiller; the teacher stays in eval.

        Args:
            mode (bool): Whether to train. Defaults to True.

        Returns:
            OutsideTeacher: Itself.
        """
        super().train(mode)
        self.teacher.eval()
        return self

    def _apply(self, *args: Any, **kwargs: Any) -> 'OutsideTeacher':
        super()._apply(*args, **kwargs)
        if self._moves_teacher:
            self.teacher._apply(*args, **kwargs)
        return self

    def __deepcopy__(self, memo: dict) -> 'OutsideTeacher':
        """Copy all but the teacher and what records in it."""
        for shared in (self.teacher, self.distiller.teacher_recorders):
            memo[id(shared)] = shared
        memo[id(self)] = copied = self.__class__.__new__(self.__class__)
        copied.__dict__.update(copy.deepcopy(self.__dict__, memo))
        # An averaged model may live on another device.
        copied._moves_teacher = False
        return copied
