"""Double of S3: moto's server on the port of the first argument.

It answers one request at a time: moto checks a condition of a request and then writes, where S3 does both at
once.
"""

import sys

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

if __name__ == "__main__":
    run_simple("127.0.0.1", int(sys.argv[1]), DomainDispatcherApplication(create_backend_app), threaded=False)
