"""What a cell reads and writes besides variables and files: a list of channels.

A channel has:

    begin()                 called just before a cell starts
    end() -> reads, writes  called just after it: `reads {reference: hash | None}` is what the cell read, as it was at the start;
                            `writes {reference: Written | None}` what it changed. `Written` is a pair `(hash, bytes | None)` with
                            the attributes `needs` (references of definitions) and `lost` (why there are no bytes). None: back at
                            what a fresh process has.
    restore(values)         `{reference: bytes | None}`: bring the process to this; None: to what a fresh process has. References
                            of other channels are left alone. Returns `{reference: why}` for what could not be done.
    initial() -> {reference: bytes}
                            what a fresh process draws by chance (random generators), for the first state of a notebook.
    prepared                whether values of other channels must be restored first (functions of the notebook): then last.
    held() -> objects       functions and classes of the notebook that libraries hold: any cell may call them unnamed.

A reference that is equal to what a fresh process has is absent from every map of state. A read reference that ends in `*` is a read
of everything below that prefix: `hash_below` says its hash, from the state's entries; None where there are none.
"""

from kanoe_worker.track import encoded, imported, randoms, settings


def all_channels(shell, definitions=None):
    """Return the channels of this process, watching.

    Args:
        shell: the InteractiveShell, or None.
        definitions: as for `encoded.Codec`.
    """
    codec = encoded.Codec(definitions)
    imports = imported.Imports()
    channels = [randoms.Randoms(imports), settings.Environ(codec)]
    imports.install()
    return channels


def hash_below(hashes):
    """Return the hash of a read of everything below a prefix, given the state's `{reference: hash}` below it."""
    if not hashes:
        return None
    return encoded.digest_of("\n".join("%s %s" % pair for pair in sorted(hashes.items())).encode("utf-8", "surrogatepass"))
