"""Start of the zip: `python worker.zip CONFIGURATION`."""

import json
import sys


def main():
    """Do what the configuration says: run a kernel, or try imports."""
    with open(sys.argv[1]) as file:
        configuration = json.load(file)
    if "imports" in configuration:
        from kanoe_worker import probe

        probe.main(configuration)
    else:
        from kanoe_worker import kernel

        kernel.main(configuration)


main()
