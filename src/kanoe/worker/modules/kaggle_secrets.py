"""Kaggle's module of this name: secrets that the user gave to this run with `kanoe run NB --secret NAME`."""

import os
import subprocess
from enum import Enum, unique

from kaggle_web_client import BackendError, CredentialError, KaggleWebClient

__all__ = ["BackendError", "CredentialError", "GcpTarget", "NotFoundError", "UserSecretsClient", "ValidationError"]

_GCLOUD_LABEL = "__gcloud_sdk_auth__"


class ValidationError(Exception):
    """The question makes no sense."""


class NotFoundError(Exception):
    """There is no such credential."""


@unique
class GcpTarget(Enum):
    """Google's services that a Kaggle notebook can be connected to; each has an access token of its own."""

    BIGQUERY = (1, "BigQuery")
    GCS = (2, "Google Cloud Storage")
    AUTOML = (3, "Cloud AutoML")
    CLOUDAI = (3, "Google Cloud AI")

    def __init__(self, target, service):
        self._target = target
        self._service = service

    @property
    def target(self):
        """Kaggle's number for the service."""
        return self._target

    @property
    def service(self):
        """The service's name."""
        return self._service


class UserSecretsClient:
    """Gives the secrets of this run."""

    GET_USER_SECRET_ENDPOINT = "/requests/GetUserSecretRequest"
    GET_USER_SECRET_BY_LABEL_ENDPOINT = "/requests/GetUserSecretByLabelRequest"
    BIGQUERY_TARGET_VALUE = 1

    def __init__(self):
        self.web_client = KaggleWebClient()

    def get_secret(self, label):
        """Return the secret of that label.

        Raises:
            ValidationError: the label is empty or no text.
            BackendError: the run was not given it.
            ConnectionError: Kanoe does not answer.
        """
        if not isinstance(label, str) or not label:
            raise ValidationError("Label must be non-empty.")
        return self.web_client.make_post_request({"Label": label}, self.GET_USER_SECRET_BY_LABEL_ENDPOINT)["secret"]

    def get_bigquery_access_token(self):
        """Return an access token for BigQuery, and when it ends: never known here."""
        return self._get_access_token(GcpTarget.BIGQUERY)

    def _get_gcs_access_token(self):
        return self._get_access_token(GcpTarget.GCS)

    def _get_automl_access_token(self):
        return self._get_access_token(GcpTarget.AUTOML)

    def _get_cloudai_access_token(self):
        return self._get_access_token(GcpTarget.CLOUDAI)

    def _get_translation_access_token(self):
        return self._get_access_token(GcpTarget.CLOUDAI)

    def _get_natural_language_access_token(self):
        return self._get_access_token(GcpTarget.CLOUDAI)

    def _get_access_token(self, target):
        label = "__%s_access_token__" % target.name.lower()
        try:
            return self.get_secret(label), None
        except BackendError:
            raise BackendError(
                "this run has no access token for %s. Give it one, such as `gcloud auth print-access-token` prints: "
                "`kanoe run NB --internet --secret %s`" % (target.service, label)
            ) from None

    def get_gcloud_credential(self):
        """Return the Google Cloud credential, the text of a JSON file.

        Raises:
            NotFoundError: the run was not given one.
        """
        try:
            return self.get_secret(_GCLOUD_LABEL)
        except BackendError:
            raise NotFoundError(
                "Google Cloud SDK credential not found. Give its JSON file: `kanoe run NB --internet --secret %s=@FILE`"
                % _GCLOUD_LABEL
            ) from None

    def set_gcloud_credentials(self, project=None, account=None):
        """Let Google's libraries and `gcloud`, where it is installed, use the run's credential."""
        _write_credential(self.get_gcloud_credential())
        for name, value, field in (
            ("GOOGLE_CLOUD_PROJECT", project, "project"),
            ("GOOGLE_ACCOUNT", account, "account"),
        ):
            if value:
                os.environ[name] = value
                _configure_gcloud(field, value)

    def set_tensorflow_credential(self, credential):
        """Let TensorFlow read Google's buckets with a credential."""
        _write_credential(credential)


def _write_credential(credential):
    folder = os.path.join(os.path.expanduser("~"), ".config", "gcloud")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "application_default_credentials.json")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(credential)
    os.environ["GOOGLE_APPLICATION_CREDENTIALS"] = path


def _configure_gcloud(field, value):
    try:
        subprocess.call(["gcloud", "config", "set", field, value], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except OSError:
        pass
