from .backbones import *  # noqa: F403
from .classifiers import *  # noqa: F403
from .connectors import *  # noqa: F403
from .heads import *  # noqa: F403
