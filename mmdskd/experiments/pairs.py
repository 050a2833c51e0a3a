"""Pairs of teacher and student, and the configs of their methods."""

from typing import NamedTuple


class Pair(NamedTuple):
    """A teacher and a student on a data set.

    Attributes:
        networks (str): Names of both, such as "resnet20_resnet8-thin".
        folder (str): The folder of their configs.
        ending (str): How the names of their configs end.
        teacher_ending (str): How that of the teacher ends. Defaults to '',
            which means ``ending``.
    """

    networks: str
    folder: str
    ending: str
    teacher_ending: str = ''

    @property
    def configs(self) -> dict[str, str]:
        """dict[str, str]: Path of the config by method, from the root of the
        project."""
        teacher, student = self.networks.split('_')
        teacher_ending = self.teacher_ending or self.ending
        names = dict(
            teacher=f'vanilla/{self.folder}/{teacher}_{teacher_ending}',
            student=f'vanilla/{self.folder}/{student}_{self.ending}',
            kd=f'kd/{self.folder}/kd_{self.networks}_{self.ending}',
            dskd=f'dskd/{self.folder}/dskd_{self.networks}_{self.ending}',
        )
        return {method: f'configs/{name}.py' for method, name in names.items()}


# The first one is that of the demo. On a part of Fashion-MNIST, the teacher
# has seen all of it.
PAIRS = {
    'resnet18_resnet18-thin': Pair(
        'resnet18_resnet18-thin', 'digits', '1xb64_digits'
    ),
    'resnet20_resnet8-thin': Pair(
        'resnet20_resnet8-thin', 'digits', '1xb64_digits'
    ),
    'resnet32x4_resnet8x4': Pair(
        'resnet32x4_resnet8x4', 'digits32', '1xb16_digits32'
    ),
    'wrn40-2_shufflenetv1': Pair(
        'wrn40-2_shufflenetv1', 'digits32', '1xb16_digits32'
    ),
    **{
        f'{networks}_{data}': Pair(
            networks, 'fashion_mnist', f'1xb64_{data}', '1xb64_fashion-mnist'
        )
        for data in ('fashion-mnist', 'fashion-mnist6k')
        for networks in (
            'resnet20_resnet20-thin',
            'resnet20_resnet56-thin',
            'resnet18_resnet18-thin',
            'resnet20_mobilenetv2-thin',
        )
    },
}
