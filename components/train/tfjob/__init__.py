"""Training in several pods: a TFJob of Kubeflow's training operator, created by the step's pod."""
