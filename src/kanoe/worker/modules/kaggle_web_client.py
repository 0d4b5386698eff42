"""Kaggle's module of this name, answered by the Kanoe that runs the notebook: nothing here goes to the network.

Kanoe listens at the Unix socket that the variable `KANOE_ANSWERS` names. A question is one line of JSON, and so is its answer:
`{"ask": "secret", "name": "KEY"}` and `{"found": true, "value": "..."}`.
"""

import json
import os
import socket
import time

_KAGGLE_URL_BASE_ENV_VAR_NAME = "KAGGLE_URL_BASE"
_KAGGLE_USER_SECRETS_TOKEN_ENV_VAR_NAME = "KAGGLE_USER_SECRETS_TOKEN"
TIMEOUT_SECS = 40


class CredentialError(Exception):
    """Nobody may be asked here."""


class BackendError(Exception):
    """The answer is no."""


class KaggleWebClient:
    """Asks for what Kaggle's own service would be asked for."""

    def __init__(self):
        self.url_base = os.getenv(_KAGGLE_URL_BASE_ENV_VAR_NAME) or "https://www.kaggle.com"
        self.jwt_token = os.getenv(_KAGGLE_USER_SECRETS_TOKEN_ENV_VAR_NAME) or "local"
        self.headers = {"Content-type": "application/json", "X-Kaggle-Authorization": "Bearer " + self.jwt_token}

    def make_post_request(self, data, endpoint, timeout=TIMEOUT_SECS):
        """Return the `result` of one of Kaggle's internal requests, as far as Kanoe has an answer.

        Raises:
            BackendError: it has none.
            CredentialError: this process was not started by `kanoe run`.
            ConnectionError: Kanoe does not answer.
        """
        name = endpoint.rpartition("/")[2]
        if name == "GetUserSecretByLabelRequest":
            return {"secret": _ask_secret(data.get("Label"), timeout)}
        if name == "GetKernelRunSourceForCaipRequest":
            return {"source": _ask({"ask": "source"}, timeout)["value"]}
        if name == "CopyDatasetVersionToKnownGcsBucketRequest":
            from kaggle_datasets import KaggleDatasets

            return {"destinationBucket": KaggleDatasets().get_gcs_path(data.get("MountSlug"))}
        raise BackendError("Kaggle's service %r has no answer on this machine" % name)


def _ask_secret(label, timeout=TIMEOUT_SECS):
    answer = _ask({"ask": "secret", "name": label}, timeout)
    if not answer.get("found"):
        raise BackendError(
            "No user secrets exist for this run and label %s. Give it one: `kanoe run NB --secret %s`" % (label, label)
        )
    return answer["value"]


def _ask(question, timeout=TIMEOUT_SECS):
    path = os.getenv("KANOE_ANSWERS")
    if not path:
        raise CredentialError("nobody answers for Kaggle here: only `kanoe run` does, to the notebook that it runs")
    received = bytearray()
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        _connect(connection, path, time.time() + timeout)
        connection.sendall(json.dumps(question).encode("utf-8") + b"\n")
        while not received.endswith(b"\n"):
            part = connection.recv(65536)
            if not part:
                break
            received += part
    except OSError as cause:
        raise ConnectionError("the Kanoe that runs this notebook does not answer: %s" % cause) from cause
    finally:
        connection.close()
    try:
        return json.loads(received.decode("utf-8"))
    except ValueError:
        raise ConnectionError("the Kanoe that runs this notebook gave no answer; try again") from None


def _connect(connection, path, deadline):
    while True:
        try:
            return connection.connect(path)
        except BlockingIOError:  # so many ask at once that the queue is full: a Unix socket does not wait for its turn
            if time.time() > deadline:
                raise
            time.sleep(0.02)
