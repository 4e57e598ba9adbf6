"""What lies in the user's namespace of the cluster, seen as kubectl would see it from here."""

import os
from typing import Any, Literal

import urllib3

from components.errors import UserError

_TIME_LIMIT = (5, 10)
_REFUSED = {401: "the cluster does not know you", 403: "you may not look"}

Kind = Literal["secret", "persistent_volume_claim", "service_account"]


class Cluster:
    """The namespace `namespace` of the cluster that kubectl would talk to.

    Raises:
      UserError: if there is no configuration.
    """

    def __init__(self, namespace: str) -> None:
        from kubernetes import client

        self.namespace = namespace
        configuration, self.name = _configuration()
        configuration.retries = urllib3.Retry(0)
        self._core = client.CoreV1Api(client.ApiClient(configuration))

    def has(self, kind: Kind, name: str) -> bool:
        """Whether the namespace holds this.

        Raises:
          UserError: if the cluster does not answer, or not to you.
        """
        from kubernetes.client.exceptions import ApiException

        read = getattr(self._core, f"read_namespaced_{kind}")
        try:
            read(name, self.namespace, _request_timeout=_TIME_LIMIT)
        except ApiException as error:
            if error.status == 404:
                return False
            raise UserError(_REFUSED.get(error.status, f"the cluster answers {error.status}")) from error
        except urllib3.exceptions.HTTPError as error:
            raise UserError("the cluster does not answer") from error
        return True


def _configuration() -> tuple[Any, str]:
    """The configuration of the client, and what to call the cluster."""
    from kubernetes import client, config

    configuration = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)
    except config.ConfigException:
        return configuration, _load_file(configuration)
    return configuration, "this pod's cluster"


def _load_file(configuration: Any) -> str:
    """Fills `configuration` in from the kubeconfig; returns the name of its present context."""
    from kubernetes import config

    file = os.environ.get("KUBECONFIG") or config.KUBE_CONFIG_DEFAULT_LOCATION
    try:
        config.load_kube_config(config_file=file, client_configuration=configuration)
        _, context = config.list_kube_config_contexts(config_file=file)
    except (config.ConfigException, OSError) as error:
        raise UserError("there is no kubeconfig here, and this is no pod") from error
    return f"the context {context['name']}"
