"""Kaggle's module of this name. What it is asked for is a bucket that a TPU can read; here the data's own folder is as good."""

import os

from kaggle_web_client import BackendError, KaggleWebClient

_KAGGLE_TPU_NAME_ENV_VAR_NAME = "TPU_NAME"
# What stands directly below Kaggle's input folder and is no source itself, and how deep its sources lie.
_ROOMS = {"competitions": 1, "datasets": 2, "notebooks": 2, "models": 5}


class KaggleDatasets:
    """Says where data sources are."""

    GET_GCS_PATH_ENDPOINT = "/requests/CopyDatasetVersionToKnownGcsBucketRequest"
    TIMEOUT_SECS = 600
    AUTO_ML = 1
    TPU = 2

    def __init__(self):
        self.web_client = KaggleWebClient()
        self.has_tpu = os.getenv(_KAGGLE_TPU_NAME_ENV_VAR_NAME) is not None

    def get_gcs_path(self, dataset_dir=None):
        """Return the folder of an attached data source; of the only one where no name is given.

        Raises:
            BackendError: no such source is attached, or several are and none is named.
        """
        base = _input_folder()
        sources = dict(_sources(base))
        if dataset_dir:
            name = str(dataset_dir).strip("/")
            if ".." not in name.split("/"):
                direct = os.path.join(base, name)
                for found in [path for slug, path in sources.items() if slug == name or slug.endswith("/" + name)]:
                    return found
                if os.path.isdir(direct):
                    return direct
            raise BackendError(
                "no data source %r is attached (%s). Attach it: `kanoe run NB --input PATH:%s`"
                % (name, _listed(sources), name)
            )
        if len(sources) == 1:
            return next(iter(sources.values()))
        if not sources:
            raise BackendError("no data source is attached. Attach one: `kanoe run NB --input PATH:SLUG`")
        raise BackendError("several data sources are attached; name one of them: %s" % _listed(sources))


def _input_folder():
    if os.path.isdir("/kaggle/input"):
        return "/kaggle/input"
    return os.path.join(os.path.dirname(os.getenv("KAGGLE_WORKING_DIR") or os.getcwd()), "input")


def _sources(base):
    """Yield each source as a name and its folder; the older form of a path, a link, counts only where it stands alone."""
    links, real = [], []
    for name in _folders(base):
        depth = _ROOMS.get(name)
        if depth is None:
            links.append((name, os.path.join(base, name)))
        else:
            real += _below(os.path.join(base, name), name, depth)
    known = {os.path.realpath(path) for _, path in real}
    return real + [(name, path) for name, path in links if os.path.realpath(path) not in known]


def _below(folder, name, depth):
    if depth == 0:
        return [(name, folder)]
    found = []
    for entry in _folders(folder):
        found += _below(os.path.join(folder, entry), name + "/" + entry, depth - 1)
    return found


def _folders(folder):
    try:
        return sorted(name for name in os.listdir(folder) if os.path.isdir(os.path.join(folder, name)))
    except OSError:
        return []


def _listed(sources):
    return ", ".join(sorted(sources)) or "none is"
