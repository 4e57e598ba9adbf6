"""Training in several pods: an Indexed Job and a headless Service, created by the step's pod."""
