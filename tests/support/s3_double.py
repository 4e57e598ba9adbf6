"""Double of S3: moto's server on the port of the first argument.

It answers one request at a time: moto checks a condition of a request and then writes, where S3 does both at
once. It makes a bucket that is written to, as SeaweedFS does for an administrator.
"""

import sys
from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple


class _Store(DomainDispatcherApplication):
    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        store = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        bucket, _, key = environ["PATH_INFO"].strip("/").partition("/")
        if environ["REQUEST_METHOD"] == "PUT" and key and bucket not in store.buckets:
            store.create_bucket(bucket, "us-east-1")
        return super().__call__(environ, start_response)


if __name__ == "__main__":
    run_simple("127.0.0.1", int(sys.argv[1]), _Store(create_backend_app), threaded=False)
