"""Start of the zip: `python worker.zip CONFIGURATION`."""

from kanoe_worker.kernel import main

main()
