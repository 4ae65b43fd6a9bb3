"""The guru meditation report of a service: its threads and its configuration, written on SIGUSR2."""

from __future__ import annotations

import contextlib
import importlib.metadata
import signal
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from oslo_config import cfg


class _Release:
    """What the report says of the package."""

    def vendor_string(self) -> str:
        return "eventalarm"

    def product_string(self) -> str:
        return "eventalarm"

    def version_string_with_package(self) -> str:
        return importlib.metadata.version("eventalarm")


RELEASE: Final = _Release()


def report_on_signal(conf: cfg.ConfigOpts, service: str) -> None:
    """Let SIGUSR2 write a report to stderr, or to a file in ``[oslo_reports] log_dir``; the service goes on.

    On the main thread; child processes inherit it. Secret options are masked by oslo.reports.

    :param service: the name of the service, with which the file begins.
    """

    def write(_number: int, frame: FrameType | None) -> None:
        # Imported when it is needed: that takes as long as connecting to the broker.
        from oslo_config import cfg  # noqa: PLC0415
        from oslo_reports import guru_meditation_report as guru  # noqa: PLC0415
        from oslo_reports import opts  # noqa: PLC0415
        from oslo_reports.generators.conf import ConfigReportGenerator  # noqa: PLC0415

        with contextlib.suppress(cfg.DuplicateOptError):
            opts.set_defaults(conf)
        report: Any = guru.TextGuruMeditation
        # Its own section shows the global options, which eventalarm does not use.
        report.persistent_sections = [(f"Configuration of {service}", ConfigReportGenerator(conf))]
        report.handle_signal(RELEASE, service, conf.oslo_reports.log_dir, frame)

    signal.signal(signal.SIGUSR2, write)
