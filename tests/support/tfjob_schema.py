"""What the API server and the training operator ask of a TFJob v1.

Fields and types are those of the operator's own client, and of Kubernetes' for the pods: both are generated,
like the custom resource's schema, from the Go types. The schemas are closed, since the API drops a field that
it does not know without a word. What types cannot say stands here: the enumerations, of the resource's
descriptions, and what the operator's validation asks for.
"""

from typing import Any

import jsonschema
import kubernetes.client
from generated_models import GeneratedModels
from kubeflow.training import models

_TYPES = GeneratedModels(models, kubernetes.client)

_AT_LEAST_1 = {"type": "integer", "minimum": 1}


def _of(**properties: Any) -> dict[str, Any]:
    """An object that has all these."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def _which(**properties: Any) -> dict[str, Any]:
    """An object that may have these."""
    return {"type": "object", "properties": properties}


_POD = _of(
    containers={"contains": _of(name={"const": "tensorflow"}, image={"type": "string", "minLength": 1})}
)
_REPLICAS = _of(
    replicas=_AT_LEAST_1,
    restartPolicy={"enum": ["Always", "OnFailure", "Never", "ExitCode"]},
    template=_of(spec=_POD),
)
_RULES = _of(
    apiVersion={"const": "kubeflow.org/v1"},
    kind={"const": "TFJob"},
    metadata=_of(name={"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}),
    spec=_of(
        runPolicy=_which(
            activeDeadlineSeconds=_AT_LEAST_1, cleanPodPolicy={"enum": ["All", "Running", "None"]}
        ),
        tfReplicaSpecs={
            "type": "object",
            "propertyNames": {"enum": ["PS", "Worker", "Chief", "Master", "Evaluator"]},
            "additionalProperties": _REPLICAS,
        },
    ),
)


def validate_tfjob(job: Any) -> None:
    """Raises `jsonschema.ValidationError` unless the API and the operator would take `job`."""
    _TYPES.validate(job, "KubeflowOrgV1TFJob")
    jsonschema.validate(job, _RULES)
