from .algorithms import *  # noqa: F403
from .architectures import *  # noqa: F403
from .losses import *  # noqa: F403
from .task_modules import *  # noqa: F403
from .utils import *  # noqa: F403
