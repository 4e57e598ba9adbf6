"""Publishes in a process of its own, for tests that race or kill it.

    python publisher.py ARGUMENTS.json GO
    python publisher.py ARGUMENTS.json --die-after WRITES

In the first form it says "ready" and publishes once the file GO is there. In the second it kills itself
right after so many writes to the registry. ARGUMENTS.json holds the arguments of the step.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from components.publish.publish import publish
from components.storage import open_storage

WRITES = ("upload_file", "write_bytes", "create_exclusive", "copy_file")


def main() -> None:
    arguments = json.loads(Path(sys.argv[1]).read_text())
    storage = type(open_storage(arguments["registry"]))  # loads the client library before the start
    if sys.argv[2] == "--die-after":
        die_after(int(sys.argv[3]), storage)
    else:
        print("ready", flush=True)
        while not Path(sys.argv[2]).exists():
            time.sleep(0.001)
    print(json.dumps(publish(**arguments)._asdict()), flush=True)


def die_after(writes: int, storage: type) -> None:
    done = 0

    def counted(write):  # type: ignore[no-untyped-def]
        def run(*args, **kwargs):  # type: ignore[no-untyped-def]
            nonlocal done
            result = write(*args, **kwargs)
            done += 1
            if done == writes:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return run

    for name in WRITES:
        setattr(storage, name, counted(getattr(storage, name)))


main()
