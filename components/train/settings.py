"""Settings of the preset `default`; each default stands here once."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """How the two-tower model is built and trained."""

    # Width of a movie's and a user's vector.
    dimension: int = 128
    # Width of the query tower's hidden layer, and the share of it that is dropped in training.
    hidden: int = 256
    dropout: float = 0.5
    # Weights of a user in the rating head: one is the user's bias, the others meet a movie's features.
    rating_weights: int = 32
    # The features' divergence from their prior, times this, is part of the loss; 1 is the evidence bound.
    divergence_weight: float = 2.0
    # Share of a user's ratings that is hidden in each step.
    masked: float = 0.2
    # Weights of the Gaussian priors, as ratings' worth: each is divided by the number of training ratings.
    retrieval_l2: float = 80.0
    # Weights of the two losses, each a mean over ratings.
    retrieval_weight: float = 1.0
    rating_weight: float = 1.0
    # "full": softmax over the whole catalogue; "in-batch": over the movies of the batch.
    retrieval_loss: str = "full"
    in_batch_pairs: int = 2048
    # A batch has at most so many users, and at most so many ratings.
    batch_users: int = 256
    batch_ratings: int = 65_536
    # Adam's learning rate climbs for the first steps and then falls to 0 as a cosine.
    learning_rate: float = 0.01
    warmup_steps: int = 100
    steps: int = 2000
    # Validations in the whole training.
    validations: int = 20
    # Users that a validation looks at.
    validation_users: int = 4096
