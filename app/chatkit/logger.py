"""The logger of the engine under the official import path (``chatkit.logger``).

It adds no handler of its own: whoever starts the process says where logs go.
"""

import logging
import os

__all__ = ["log_level", "logger", "logging", "os"]

logger = logging.getLogger("chatkit")
log_level = os.getenv("LOG_LEVEL")
