"""Receives webhooks of alarms and refuses those that are not signed with the secret of the project."""

import os
from wsgiref.simple_server import make_server

from standardwebhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["WEBHOOK_SECRET"])


def receive(environ, start_response):
    """Answer 204 to a valid webhook, 401 to anything else."""
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    headers = {name: environ.get(f"HTTP_{name.upper().replace('-', '_')}", "") for name in names}
    try:
        alarm = webhook.verify(body, headers)
    except (WebhookVerificationError, ValueError):
        start_response("401 Unauthorized", [])
        return []
    print(alarm["alarm_name"], "is", alarm["current"])
    start_response("204 No Content", [])
    return []


if __name__ == "__main__":
    make_server("", 8080, receive).serve_forever()
