"""Training in several pods: a TFJob of Kubeflow's training operator, started by the pod of the step."""
