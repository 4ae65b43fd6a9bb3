"""The console scripts, one module each; importing this package selects threads instead of eventlet."""

import contextlib
import warnings

# futurist only checks whether eventlet is installed, and the check prints this warning.
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")

# oslo.messaging imports oslo.service, which uses eventlet unless another backend was selected before.
# Releases before 4.2 have no selection, and a process that selected a backend earlier keeps it.
with contextlib.suppress(ImportError):
    from oslo_service import backend

    with contextlib.suppress(backend.exceptions.BackendAlreadySelected):
        backend.init_backend(backend.BackendType.THREADING)
