"""The part of the TFJob's schema that this project writes in, closed to all else.

A model of the schema of v1 in the training operator's CRD tfjobs.kubeflow.org (release 1.9), and of the parts
of Kubernetes' PodSpec in it: the same names and types. What the CRD has beside is left out, so a field with a
wrong name is an error here, where the API would drop it without a word. The enumerations stand in the CRD's
descriptions and in the operator's validation.
"""

from typing import Any

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_INTEGER: Schema = {"type": "integer"}
_FLAG: Schema = {"type": "boolean"}
_LABEL: Schema = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}


def _object(required: str = "", **properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _map(values: Schema) -> Schema:
    return {"type": "object", "additionalProperties": values}


_QUANTITIES = _map(
    {"anyOf": [_INTEGER, {"type": "string", "pattern": r"^(\d+(\.\d*)?|\.\d+)([KMGTPE]i?|[numk])?$"}]}
)

_KEY = _object("key", key=_TEXT, name=_TEXT, optional=_FLAG)

_VARIABLE = _object(
    "name",
    name=_TEXT,
    value=_TEXT,
    valueFrom=_object(
        secretKeyRef=_KEY,
        configMapKeyRef=_KEY,
        fieldRef=_object("fieldPath", apiVersion=_TEXT, fieldPath=_TEXT),
    ),
)

_MOUNT = _object("mountPath name", mountPath=_TEXT, name=_TEXT, readOnly=_FLAG, subPath=_TEXT)

_CONTAINER = _object(
    "name",
    # The operator's validation asks for a container of this name.
    name={"const": "tensorflow"},
    image={"type": "string", "minLength": 1},
    imagePullPolicy={"enum": ["Always", "IfNotPresent", "Never"]},
    command=_list(_TEXT),
    args=_list(_TEXT),
    env=_list(_VARIABLE),
    resources=_object(limits=_QUANTITIES, requests=_QUANTITIES),
    securityContext={"type": "object"},
    volumeMounts=_list(_MOUNT),
)

_ITEM = _object("key path", key=_TEXT, path=_TEXT, mode=_INTEGER)
_VOLUME = _object(
    "name",
    name=_LABEL,
    persistentVolumeClaim=_object("claimName", claimName=_TEXT, readOnly=_FLAG),
    secret=_object(secretName=_TEXT, optional=_FLAG, defaultMode=_INTEGER, items=_list(_ITEM)),
    configMap=_object(name=_TEXT, optional=_FLAG, defaultMode=_INTEGER, items=_list(_ITEM)),
)

_TOLERATION = _object(
    key=_TEXT,
    value=_TEXT,
    operator={"enum": ["Equal", "Exists"]},
    effect={"enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"]},
    tolerationSeconds=_INTEGER,
)

_POD = _object(
    "containers",
    serviceAccountName=_TEXT,
    nodeSelector=_map(_TEXT),
    tolerations=_list(_TOLERATION),
    affinity={"type": "object"},
    imagePullSecrets=_list(_object(name=_TEXT)),
    securityContext={"type": "object"},
    containers={**_list(_CONTAINER), "minItems": 1},
    volumes=_list(_VOLUME),
)

_REPLICAS = _object(
    replicas={"type": "integer", "minimum": 1},
    restartPolicy={"enum": ["Always", "OnFailure", "Never", "ExitCode"]},
    template=_object(
        metadata=_object(annotations=_map(_TEXT), labels=_map(_TEXT), name=_TEXT, namespace=_TEXT), spec=_POD
    ),
)

_OWNER = _object(
    "apiVersion kind name uid",
    apiVersion=_TEXT,
    kind=_TEXT,
    name=_TEXT,
    uid=_TEXT,
    controller=_FLAG,
    blockOwnerDeletion=_FLAG,
)

TFJOB: Schema = _object(
    "apiVersion kind metadata spec",
    apiVersion={"const": "kubeflow.org/v1"},
    kind={"const": "TFJob"},
    metadata=_object("name", name=_LABEL, labels=_map(_TEXT), ownerReferences=_list(_OWNER)),
    spec=_object(
        "tfReplicaSpecs",
        enableDynamicWorker=_FLAG,
        successPolicy={"enum": ["", "AllWorkers"]},
        runPolicy=_object(
            activeDeadlineSeconds={"type": "integer", "minimum": 1},
            backoffLimit=_INTEGER,
            cleanPodPolicy={"enum": ["All", "Running", "None"]},
            suspend=_FLAG,
            ttlSecondsAfterFinished=_INTEGER,
        ),
        tfReplicaSpecs={
            "type": "object",
            "propertyNames": {"enum": ["PS", "Worker", "Chief", "Master", "Evaluator"]},
            "additionalProperties": _REPLICAS,
        },
    ),
)
