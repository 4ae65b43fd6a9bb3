"""TLS for webhooks, from Aodh's own ``rest_notifier_*`` options."""

from __future__ import annotations

import os
import ssl
import urllib.parse

from eventalarm.delivery.options import TlsOptions
from eventalarm.exceptions import DeliveryError, InvalidOption

VERIFY_OPTION = "aodh-alarm-ssl-verify"


class TlsContexts:
    """The two contexts that actions can ask for: with and without verification of the server.

    :raises InvalidOption: when the CA bundle, the certificate or its key cannot be read.
    """

    def __init__(self, options: TlsOptions) -> None:
        self._verify = options.verify
        self._verifying = _verifying(options)
        self._trusting = ssl.create_default_context()
        self._trusting.check_hostname = False
        self._trusting.verify_mode = ssl.CERT_NONE
        if options.certificate:
            for context in (self._verifying, self._trusting):
                _load_certificate(context, options)

    def for_query(self, query: str) -> ssl.SSLContext:
        """Return the context that the query of an action asks for.

        :raises DeliveryError: permanent, when ``aodh-alarm-ssl-verify`` is not a number.
        """
        asked = urllib.parse.parse_qs(query).get(VERIFY_OPTION)
        if not asked:
            return self._verifying if self._verify else self._trusting
        try:
            return self._verifying if int(asked[-1]) else self._trusting
        except ValueError as exc:
            raise DeliveryError("bad_action", f"{VERIFY_OPTION} must be 0 or 1", permanent=True) from exc


def _verifying(options: TlsOptions) -> ssl.SSLContext:
    bundle = options.ca_bundle
    try:
        if not bundle:
            return ssl.create_default_context()
        if os.path.isdir(bundle):
            return ssl.create_default_context(capath=bundle)
        return ssl.create_default_context(cafile=bundle)
    except (OSError, ValueError) as exc:
        raise InvalidOption(
            "rest_notifier_ca_bundle_certificate_path", f"{bundle}: {exc}", "name a readable PEM bundle"
        ) from exc


def _load_certificate(context: ssl.SSLContext, options: TlsOptions) -> None:
    try:
        context.load_cert_chain(options.certificate, options.key or None)
    except (OSError, ValueError) as exc:
        raise InvalidOption(
            "rest_notifier_certificate_file, rest_notifier_certificate_key",
            f"{options.certificate}: {exc}",
            "name a readable PEM certificate and its key",
        ) from exc
