"""Kaggle's module of this name: the notebook that runs."""

from kaggle_web_client import KaggleWebClient


class UserSessionClient:
    """Gives the notebook of this session."""

    GET_SOURCE_ENDPOINT = "/requests/GetKernelRunSourceForCaipRequest"

    def __init__(self):
        self.web_client = KaggleWebClient()

    def get_exportable_ipynb(self):
        """Return a mapping whose `source` is the notebook's JSON text."""
        return self.web_client.make_post_request({"UseDraft": True}, self.GET_SOURCE_ENDPOINT)
