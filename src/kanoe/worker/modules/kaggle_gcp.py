"""Kaggle's module of this name: Google Cloud with what the user gave to this run. Google's own clients are left as they are."""

import importlib
import os

from kaggle_secrets import GcpTarget, UserSecretsClient

KAGGLE_GCP_CLIENT_USER_AGENT = "kaggle-gcp-client/1.0"

try:
    from google.auth.credentials import Credentials as _Credentials
    from google.auth.exceptions import RefreshError as _RefreshError
except ImportError:
    _Credentials = object
    _RefreshError = ConnectionError


class KernelIntegrations:
    """Google's services that the session is connected to."""

    def __init__(self):
        self.integrations = {}

    def add_integration(self, target):
        """Add a service."""
        self.integrations[target] = True

    def has_integration(self, target):
        """Return whether a service is connected."""
        return target in self.integrations

    def has_bigquery(self):
        """Return whether BigQuery is."""
        return GcpTarget.BIGQUERY in self.integrations

    def has_gcs(self):
        """Return whether Cloud Storage is."""
        return GcpTarget.GCS in self.integrations

    def has_cloudai(self):
        """Return whether Cloud AI is."""
        return GcpTarget.CLOUDAI in self.integrations or GcpTarget.AUTOML in self.integrations


def get_integrations():
    """Return the services that `KAGGLE_KERNEL_INTEGRATIONS` names."""
    integrations = KernelIntegrations()
    for name in os.getenv("KAGGLE_KERNEL_INTEGRATIONS", "").split(":"):
        if name.upper() in GcpTarget.__members__:
            integrations.add_integration(GcpTarget[name.upper()])
    return integrations


class KaggleKernelCredentials(_Credentials):
    """Credentials for Google's clients from an access token that the run was given."""

    def __init__(self, target=GcpTarget.BIGQUERY):
        super().__init__()
        self.target = target

    def refresh(self, request):
        """Ask for the token.

        Raises:
            google.auth.exceptions.RefreshError: there is none; its text says how to give one.
        """
        try:
            self.token, self.expiry = UserSecretsClient()._get_access_token(self.target)
        except Exception as cause:
            raise _RefreshError(str(cause)) from cause


class KaggleKernelWithProjetCredentials(KaggleKernelCredentials):
    """The same with a project that pays (Kaggle's spelling)."""

    def __init__(self, parentCredential=None, quota_project_id=None):  # noqa: N803 - Kaggle's name
        super().__init__(target=parentCredential.target)
        self._quota_project_id = quota_project_id


class PublicBigqueryClient:
    """Kaggle's free way to public data sets, which only its own machines have."""

    def __init__(self, *arguments, **options):
        raise ConnectionError(
            "Kaggle's free BigQuery proxy is not reachable from this machine: use `google.cloud.bigquery.Client` with a "
            "credential of your own, `kanoe run NB --internet --secret __gcloud_sdk_auth__=@FILE`"
        )


def has_been_monkeypatched(method):  # noqa: ARG001 - Kaggle's name
    """Return whether Kaggle has changed a client: never here."""
    return False


def is_user_secrets_token_set():
    """Return whether secrets can be asked for."""
    return "KAGGLE_USER_SECRETS_TOKEN" in os.environ


def is_proxy_token_set():
    """Return whether Kaggle's proxy is there: never here."""
    return False


def _module(name):
    def load():
        return importlib.import_module(name)

    return load


init_bigquery = _module("google.cloud.bigquery")
init_gcs = _module("google.cloud.storage")
init_translation_v2 = _module("google.cloud.translate_v2")
init_translation_v3 = _module("google.cloud.translate_v3")
init_natural_language = _module("google.cloud.language")
init_video_intelligence = _module("google.cloud.videointelligence")
init_vision = _module("google.cloud.vision")
init_ucaip = _module("google.cloud.aiplatform")


def init():
    """Change Google's clients: nothing is changed here."""
