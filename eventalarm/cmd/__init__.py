"""One small module per console script; importing this package chooses threads, not eventlet."""

import contextlib
import warnings

# futurist only looks whether eventlet is there, but the look alone prints this.
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")

# oslo.messaging imports oslo.service, which takes eventlet unless told otherwise before that. Releases
# before 4.2 know no choice, and a process that chose earlier keeps its choice.
with contextlib.suppress(ImportError):
    from oslo_service import backend

    with contextlib.suppress(backend.exceptions.BackendAlreadySelected):
        backend.init_backend(backend.BackendType.THREADING)
