"""One message to a chat's incoming webhook."""

import http.client
import json
import urllib.request

from components.progress import log

_TIMEOUT_SECONDS = 10.0


def post(url: str, text: str) -> None:
    """Posts the JSON {"text": `text`}, the form that Slack, Mattermost and Google Chat take.

    A failure is logged and not raised. The URL is never logged: it holds a secret.
    """
    if not url.startswith(("https://", "http://")):
        log("the webhook was not told: its URL must begin with https://")
        return
    request = urllib.request.Request(
        url, data=json.dumps({"text": text}).encode(), headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
            response.read()
    except (OSError, http.client.HTTPException, ValueError) as error:
        log(f"the webhook was not told: {type(error).__name__}")
