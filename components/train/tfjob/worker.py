"""What runs in each pod of the TFJob: `python3 -m components.train.tfjob.worker PLACE`.

TF_CONFIG, which the training operator sets, says which of the workers this is.
"""

import sys
import tempfile
from pathlib import Path

from components.errors import UserError
from components.train.tfjob.exchange import INTERACTIONS, VOCABULARY, Exchange


def work(place: str) -> None:
    """Trains with the others what was staged in `place`; the chief puts the Model there.

    Raises:
      UserError: as the step `train`.
    """
    from components.train.replicas import replicas
    from components.train.work import make_model

    exchange = Exchange(place)
    request = exchange.request()
    # The Model is in its place before the workers part: none of them ends well without it.
    with replicas(request.preset) as strategy, tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        exchange.fetch_inputs(directory)
        model = directory / "model"
        inputs = str(directory / INTERACTIONS), str(directory / VOCABULARY)
        make_model(strategy, request, *inputs, output=str(model))
        if model.is_dir():
            exchange.put_model(model)


def main() -> None:
    """Reads the place from the command line; ends with status 2 after a mistake of the user's."""
    try:
        work(sys.argv[1])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
