"""Settings of the preset `default`; each default stands here once."""

from dataclasses import dataclass

TOP_K = "top-k"
FULL = "full"
IN_BATCH = "in-batch"


@dataclass(frozen=True)
class Settings:
    """How the two-tower model is built and trained. 0 and "" leave it to the size of the data (`sized`)."""

    # Width of a movie's vector; 128, or less for a catalogue of more than 250,000 rated movies.
    dimension: int = 0
    # Pairs of query and candidate tower that learn side by side and answer together; 4 for fewer than 250,000
    # ratings, 2 for fewer than 2.5 million, else 1.
    members: int = 0
    # Width of the query tower's hidden layer, and the share of it that is dropped in training: 0.7, with a
    # softmax 0.5.
    hidden: int = 256
    dropout: float = 0.0
    # Weights of a user in the rating head: one is the user's bias, the others meet a movie's features.
    rating_weights: int = 32
    # Share of a user's ratings that is hidden in each step; the fewer ratings, the more: 0.2 to 0.5.
    masked: float = 0.0
    # Weight of the Gaussian prior of the movies' vectors, as ratings' worth (it is divided by their number):
    # 20 for a million ratings, about eight times as much for a tenth of them. A softmax, which pulls a movie
    # twice as hard at first, takes 40 and about four times as much.
    retrieval_l2: float = 0.0
    # The divergence of the rating head's Gaussians from their priors, times this, is part of the loss. 1
    # makes it the evidence bound; a million ratings want 2.
    divergence_weight: float = 0.0
    # Weights of the two losses, each a mean over ratings.
    retrieval_weight: float = 1.0
    rating_weight: float = 1.0
    # "top-k": how far movies are below the k best of the catalogue; "full": softmax over it; "in-batch": over
    # at most so many hidden movies of the batch, for more than 250,000 rated movies, or where the scores of a
    # batch would take a quarter of the memory.
    retrieval_loss: str = ""
    # 60, or a sixteenth of the rated movies if that is less; and the temperature that softens the k-th place.
    top_k: int = 0
    temperature: float = 2.0
    in_batch_pairs: int = 4096
    # A batch has at most so many users (an eighth of them, from 8 to 256; with the in-batch softmax those who
    # have 32,768 ratings, up to 4096 users), and at most so many ratings.
    batch_users: int = 0
    batch_ratings: int = 65_536
    # Adam's learning rate climbs for the first steps and then falls to 0 as a cosine. 0.01 for a million
    # ratings and more; it falls with the square root of their number, since their gradients are noisier. The
    # towers take this share of it: 0.3 for a million ratings, up to 1 for fewer; with a softmax always 1.
    learning_rate: float = 0.0
    tower_rate: float = 0.0
    warmup_steps: int = 100
    steps: int = 2000
    # Validations in the whole training, and how many validation rows each looks at (half of them at most);
    # the others are trained on.
    validations: int = 20
    validation_ratings: int = 10_000
    # The training stops after so many validations in a row that brought nothing. Half of them: while the
    # learning rate is high, the metrics go up and down, and most of what a training brings comes as it falls.
    patience: int = 10
    # Where those rows are many of all, it goes on afterwards with all known rows, for this share of the steps
    # that the kept weights took, from this share of the learning rate down to 0.
    settling: float = 0.1
    settling_rate: float = 0.2
