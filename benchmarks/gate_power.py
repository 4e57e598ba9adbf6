"""The share of challengers that the gate refuses, by their true loss and the number of test users.

    python benchmarks/gate_power.py [table] [chain] [--challengers N]

Nothing is trained: the test rows of two models are drawn so that both find their movie in half of the rows,
that they disagree on an eighth of the rows by chance, and that the challenger truly finds so much less. The
gate's own bootstrap and rules then decide. `table` compares challengers with a champion. `chain` retrains
many times on the same 300 test users, and publishes what the gate lets through.
"""

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping
from statistics import NormalDist

import numpy as np

from components.evaluate.bootstrap import RESAMPLES, Resampled, UserSums
from components.evaluate.gate import Evidence, GateSettings, decide
from components.evaluate.rules import not_worse
from components.evaluate.verdict import FAIL, UNDECIDED
from components.metrics import BEST_CHAMPION, CHALLENGER, CHAMPION, POPULARITY, TOP_100_UNSEEN

ROWS_A_USER = 4
ACCURACY = 0.5
# The correlation of the scores of two models of which one eighth of the rows are in one list alone.
ALIKE = float(np.cos(np.pi / 8))
USERS = (100, 300, 500, 1000, 3000, 6000)
# Of accuracy, by name: what popularity would find, and models that are a little better and worse.
LOSSES = (-0.02, 0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.2)
RETRAININGS = 100
EARLIER_TOLERANCE = 0.003


def hits(difficulty: np.ndarray, accuracy: float, random: np.random.Generator) -> np.ndarray:
    """Rows whose movie a model of this accuracy finds, float64 [users], summed up by user."""
    own = random.normal(size=difficulty.shape) * np.sqrt(1 - ALIKE)
    found = difficulty * np.sqrt(ALIKE) + own < NormalDist().inv_cdf(accuracy)
    summed: np.ndarray = found.sum(axis=1, dtype=np.float64)
    return summed


def evidence(found: Mapping[str, np.ndarray], weights: np.ndarray) -> Evidence:
    """Evidence that `evaluate` would hand to the gate, of the hits of each scorer."""
    users = weights.shape[1]
    sums = {
        name: UserSums(np.full(users, ROWS_A_USER), {TOP_100_UNSEEN: of_scorer})
        for name, of_scorer in found.items()
    }
    metrics = {name: one.metrics() for name, one in sums.items()}
    draws = {name: one.metrics_of(weights @ np.column_stack(one.summands())) for name, one in sums.items()}
    # Popularity finds far less; only the other comparisons are of interest.
    metrics[POPULARITY], draws[POPULARITY] = {TOP_100_UNSEEN: 0.0}, {TOP_100_UNSEEN: np.zeros(len(weights))}
    return Evidence(Resampled(users * ROWS_A_USER, users, metrics, draws), users=users)


def outcome(given: Evidence) -> str:
    """The gate's: "fail", "undecided" or "pass"."""
    verdicts = {rule.verdict for rule in decide(given, GateSettings())}
    return FAIL if FAIL in verdicts else UNDECIDED if UNDECIDED in verdicts else "pass"


def outcome_before(given: Evidence) -> str:
    """That of releases until 0.2: worse beyond the interval and a tolerance, or not."""
    mine, theirs = (given.whole.metrics[name][TOP_100_UNSEEN] for name in (CHALLENGER, CHAMPION))
    interval = given.whole.difference(CHALLENGER, CHAMPION, TOP_100_UNSEEN)
    return not_worse(TOP_100_UNSEEN, CHAMPION, mine, theirs, interval, EARLIER_TOLERANCE).verdict


def shares(loss: float, users: int, challengers: int, random: np.random.Generator) -> tuple[str, str]:
    """Of challengers with this true loss: refused and undecided now, and refused before, as percentages."""
    weights = random.standard_exponential((RESAMPLES, users), dtype=np.float32)
    now, before = Counter[str](), Counter[str]()
    for _ in range(challengers):
        difficulty = random.normal(size=(users, ROWS_A_USER))
        given = evidence(
            {
                CHALLENGER: hits(difficulty, ACCURACY - loss, random),
                CHAMPION: hits(difficulty, ACCURACY, random),
            },
            weights,
        )
        now[outcome(given)] += 1
        before[outcome_before(given)] += 1
    refused, undecided = (f"{100 * now[name] / challengers:.0f}" for name in (FAIL, UNDECIDED))
    return f"{refused} ({undecided})", f"{100 * before[FAIL] / challengers:.0f}"


def table(challengers: int) -> Iterator[str]:
    """Rows of true losses, columns of test users: % refused (and % undecided), and below % refused before."""
    yield f"| true loss | | {' | '.join(f'{users:,} users' for users in USERS)} |"
    yield "|---|---|" + "---|" * len(USERS)
    for loss in LOSSES:
        random = np.random.default_rng(0)
        cells = [shares(loss, users, challengers, random) for users in USERS]
        yield f"| {loss:g} | refused (undecided), % | {' | '.join(now for now, _ in cells)} |"
        yield f"| | before: refused, % | {' | '.join(before for _, before in cells)} |"


def chain(users: int = 300) -> Iterator[str]:
    """Retrainings on the same test rows, and where they lead, with and without the best champion before."""
    yield "| each retraining | gate | published of 100 | true accuracy at the end |"
    yield "|---|---|---|---|"
    steps = {"as good as the first": None, "0.01 below the champion": 0.01, "0.02 below the champion": 0.02}
    for name, step in steps.items():
        for gate in ("as it is", "without the best champion before", "before"):
            ends = [_retrain(users, step, gate, np.random.default_rng(seed)) for seed in range(10)]
            published, accuracy = np.mean(ends, axis=0)
            yield f"| {name} | {gate} | {published:.0f} | {accuracy:.3f} |"


def _retrain(users: int, step: float | None, gate: str, random: np.random.Generator) -> tuple[int, float]:
    """The number of publications, and the true accuracy of the last champion."""
    difficulty = random.normal(size=(users, ROWS_A_USER))
    weights = random.standard_exponential((RESAMPLES, users), dtype=np.float32)
    champions = [(ACCURACY, hits(difficulty, ACCURACY, random))]
    for _ in range(RETRAININGS):
        accuracy = ACCURACY if step is None else champions[-1][0] - step
        challenger = hits(difficulty, max(accuracy, 0.01), random)
        found = {CHALLENGER: challenger, CHAMPION: champions[-1][1]}
        best = max((hit for _, hit in champions[-11:-1]), key=np.sum, default=champions[-1][1])
        if gate == "as it is" and best.sum() > champions[-1][1].sum():
            found[BEST_CHAMPION] = best
        given = evidence(found, weights)
        if (outcome_before(given) if gate == "before" else outcome(given)) != FAIL:
            champions.append((max(accuracy, 0.01), challenger))
    return len(champions) - 1, champions[-1][0]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", default=["table", "chain"], metavar="table|chain")
    parser.add_argument("--challengers", type=int, default=1000)
    arguments = parser.parse_args()
    if "table" in arguments.what:
        print(*table(arguments.challengers), sep="\n", end="\n\n")
    if "chain" in arguments.what:
        print(*chain(), sep="\n")


if __name__ == "__main__":
    main()
