"""A connection to Kubeflow Pipelines: KFP's own client, made to answer or to fail within half a minute."""

import json
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

from components.errors import UserError
from pipelines.kubeflow.access import Access
from pipelines.kubeflow.transport import ApiError, Transport

T = TypeVar("T")

_POD_NAMESPACE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
_PAGE_SIZE = 100
_PAUSES = (0.5, 1, 2)

# States that a run does not leave.
FINISHED = {"SUCCEEDED", "FAILED", "SKIPPED", "CANCELED"}


@dataclass(frozen=True)
class Kubeflow:
    """A Kubeflow Pipelines that answers.

    Attributes:
      sdk: the `kfp.Client`; its attributes `runs`, `pipelines`, `experiments`, `recurring_runs` and
        `pipeline_uploads` hold the generated calls of the API v2beta1.
      host: the URL.
      pages: the URL of the pages for people.
      namespace: the user's; "" on a server for one user.
    """

    sdk: Any
    host: str
    pages: str
    namespace: str

    def experiment(self, name: str) -> Any | None:
        """The experiment called `name`."""
        found = pages(
            self.sdk.experiments.experiment_service_list_experiments,
            "experiments",
            namespace=self.namespace or None,
            filter=where("display_name", "EQUALS", name),
        )
        return next(found, None)

    def pipeline(self, name: str) -> Any | None:
        """The pipeline called `name`: the namespace's own where the server has namespaces."""
        found = pages(
            self.sdk.pipelines.pipeline_service_list_pipelines,
            "pipelines",
            namespace=self.namespace or None,
            filter=where("display_name", "EQUALS", name),
        )
        return next(found, None)

    def versions(self, pipeline_id: str) -> Iterator[Any]:
        """The versions of a pipeline, newest first."""
        call = self.sdk.pipelines.pipeline_service_list_pipeline_versions
        return pages(call, "pipeline_versions", pipeline_id=pipeline_id, sort_by="created_at desc")

    def runs(self, **arguments: Any) -> Iterator[Any]:
        """The runs that `arguments` of the API's list of runs select, newest first."""
        call = self.sdk.runs.run_service_list_runs
        return pages(
            call, "runs", **{"namespace": self.namespace or None, "sort_by": "created_at desc", **arguments}
        )

    def recurring_runs(self) -> Iterator[Any]:
        """All schedules of the namespace, newest first."""
        call = self.sdk.recurring_runs.recurring_run_service_list_recurring_runs
        return pages(call, "recurring_runs", namespace=self.namespace or None, sort_by="created_at desc")

    def run_url(self, run_id: str) -> str:
        """The run's page."""
        return f"{self.pages}/#/runs/details/{run_id}"


def connect(access: Access) -> Kubeflow:
    """Connects to a Kubeflow Pipelines 2.

    Raises:
      UserError: if nothing answers at the host, it is of an older version, or a namespace is needed.
    """
    sdk = _sdk(access)
    try:
        health = sdk.healthzs.healthz_service_get_healthz()
    except ApiError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            raise UserError(_not_found(sdk, access.host)) from error
        raise
    namespace = _namespace(access, bool(health.multi_user))
    return Kubeflow(sdk, access.host, access.pages or access.host, namespace)


def server_release(sdk: Any) -> str:
    """The server's release, which only its older API tells; "" if it does not."""
    try:
        answer, _, _ = sdk.healthzs.api_client.call_api(
            "/apis/v1beta1/healthz",
            "GET",
            header_params={"Accept": "application/json"},
            response_type="object",
            auth_settings=["Bearer"],
        )
    except ApiError:
        return ""
    return str(answer.get("tag_name") or "of unknown release")


def pages(call: Callable[..., Any], field: str, **arguments: Any) -> Iterator[Any]:
    """All items of a list that the API gives page by page."""
    token = ""
    while True:
        page = call(page_token=token, page_size=_PAGE_SIZE, **arguments)
        yield from getattr(page, field) or []
        token = page.next_page_token
        if not token:
            return


def where(key: str, operation: str, value: str) -> str:
    """A filter of the API's lists."""
    return json.dumps({"predicates": [{"operation": operation, "key": key, "stringValue": value}]})


def create_once(find: Callable[[], T | None], create: Callable[[], T]) -> T:
    """What `find` finds, or else what `create` makes: once, even if the answer to `create` is lost."""
    found = find()
    for pause in _PAUSES:
        if found is not None:
            return found
        try:
            return create()
        except ApiError as error:
            if not error.passing and error.status != HTTPStatus.CONFLICT:
                raise
        time.sleep(pause)
        found = find()
    return found if found is not None else create()


def repeat(call: Callable[[], Any]) -> None:
    """Makes a call that does no harm when it is made twice, again if it fails for a reason that can pass."""
    for pause in _PAUSES:
        try:
            call()
            return
        except ApiError as error:
            if not error.passing:
                raise
        time.sleep(pause)
    call()


def _sdk(access: Access) -> Any:
    from kfp import Client
    from kfp.client import ServiceAccountTokenVolumeCredentials

    credentials = ServiceAccountTokenVolumeCredentials(access.token_file) if access.token_file else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        sdk = Client(
            host=access.host,
            # Calls name the namespace themselves. Without one the client would ask the server from its
            # constructor, without time limit.
            namespace="unused",
            existing_token=access.token or None,
            cookies=access.cookies,
            credentials=credentials,
            ssl_ca_cert=access.ca_cert or None,
        )
    api_client = sdk.runs.api_client  # one for all of them
    api_client.rest_client = Transport(api_client.configuration, access.host)
    return sdk


def _not_found(sdk: Any, host: str) -> str:
    release = server_release(sdk)
    if release:
        return (
            f"--host {host}: Kubeflow Pipelines {release} has no API v2beta1; upgrade it to 2.0 or later, or "
            "upload what `twotower compile` writes to another"
        )
    return (
        f"--host {host}: no Kubeflow Pipelines there (404); a full Kubeflow has it at https://HOST/pipeline"
    )


def _namespace(access: Access, multi_user: bool) -> str:
    if not multi_user:
        return ""
    if access.namespace:
        return access.namespace
    pod = Path(_POD_NAMESPACE)
    if pod.is_file():
        return pod.read_text("utf-8").strip()
    raise UserError(
        f"--host {access.host}: the server is shared by several users; give your --namespace, "
        "or set TWOTOWER_NAMESPACE"
    )
