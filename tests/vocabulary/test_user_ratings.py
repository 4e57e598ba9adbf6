"""Ratings grouped by user: selecting, joining and viewing them, against a table of single ratings."""

import numpy as np
import pytest

from components.vocabulary.interactions import UserRatings, chunks, user_chunks

USERS, MOVIES = 6, 9


@pytest.fixture
def rows():
    """Single ratings (user, movie, stars) in random order; some are 0, and user 2 has none."""
    random = np.random.default_rng(4)
    cells = [(user, movie) for user in (0, 1, 3, 4, 5) for movie in range(MOVIES) if random.random() < 0.5]
    return [(*cells[place], float(random.integers(0, 3))) for place in random.permutation(len(cells))]


def group(rows, users=USERS):
    return UserRatings.group(*np.array(rows).reshape(-1, 3).astype(int).T, users)


def ungroup(ratings):
    """One list of (movie, stars) for each user, in the order of the rows."""
    parts = (ratings[user : user + 1] for user in range(ratings.users))
    return [list(zip(part.movies.tolist(), part.ratings.tolist(), strict=True)) for part in parts]


def of_user(rows, user):
    return sorted((movie, stars) for owner, movie, stars in rows if owner == user)


def test_single_ratings_are_grouped_by_user_then_movie(rows):
    ratings = group(rows)
    assert ungroup(ratings) == [of_user(rows, user) for user in range(USERS)]
    assert ratings.owners.tolist() == sorted(user for user, *_ in rows)
    assert ratings.counts.tolist() == [len(of_user(rows, user)) for user in range(USERS)]
    assert [array.dtype for array in ratings.arrays] == [np.int32, np.float32, np.int64]


def test_users_are_selected_in_any_order_and_unknown_ones_have_no_ratings(rows):
    chosen = [5, 0, -1, 2, 5]
    assert ungroup(group(rows).select(chosen)) == [of_user(rows, user) for user in chosen]
    assert group(rows).select([]).offsets.tolist() == [0]
    with pytest.raises(IndexError):
        group(rows).select([USERS])


def test_consecutive_users_are_viewed_without_copying(rows):
    ratings = group(rows)
    part = ratings[1:4]
    assert ungroup(part) == [of_user(rows, user) for user in (1, 2, 3)]
    assert np.shares_memory(part.movies, ratings.movies)
    assert np.shares_memory(part.ratings, ratings.ratings)


def test_other_users_than_the_chosen_ones_have_no_ratings(rows):
    chosen = np.arange(USERS) % 2 == 1
    expected = [of_user(rows, user) if user % 2 else [] for user in range(USERS)]
    assert ungroup(group(rows).only(chosen)) == expected


def test_parts_are_joined_one_after_the_other_within_each_user(rows):
    one, other, third = rows[::3], rows[1::3], rows[2::3]
    joined = UserRatings.join([group(part) for part in (one, other, third)])
    expected = [
        [pair for part in (one, other, third) for pair in of_user(part, user)] for user in range(USERS)
    ]
    assert ungroup(joined) == expected


def test_a_rating_of_0_stays_an_entry_of_the_sparse_matrix(rows):
    ratings = group(rows)
    matrix = ratings.csr(MOVIES)
    assert matrix.shape == (USERS, MOVIES)
    assert matrix.nnz == len(rows) > np.count_nonzero(ratings.ratings)
    assert matrix.tocsc().nnz == len(rows)
    assert np.shares_memory(matrix.data, ratings.ratings)
    assert np.shares_memory(matrix.indices, ratings.movies)
    for user, movie, stars in rows:
        assert matrix[user, movie] == stars


@pytest.mark.parametrize(("total", "size"), [(0, 3), (1, 3), (3, 3), (10, 4), (10, 100)])
def test_chunks_cover_everything_once(total, size):
    parts = list(chunks(total, size))
    assert [place for part in parts for place in range(total)[part]] == list(range(total))
    assert all(part.stop - part.start <= size for part in parts)


@pytest.mark.parametrize(
    ("counts", "users", "ratings", "sizes"),
    [
        ([], 5, 10, []),
        ([3, 4, 3, 1], 5, 10, [3, 1]),  # as many ratings as may be
        ([3, 4, 3, 1], 2, 10, [2, 2]),
        ([1, 99, 1, 1], 5, 10, [1, 1, 2]),  # one who has too many is alone
        ([0, 0, 0], 2, 10, [2, 1]),
        ([5], 1, 1, [1]),
    ],
)
def test_users_are_cut_into_parts_of_bounded_size(counts, users, ratings, sizes):
    parts = list(user_chunks(np.array(counts, np.int64), users, ratings))
    assert [part.stop - part.start for part in parts] == sizes
    assert [user for part in parts for user in range(part.start, part.stop)] == list(range(len(counts)))


def test_pieces_are_all_users_and_movies_are_counted_by_pieces(rows, monkeypatch):
    monkeypatch.setattr("components.vocabulary.interactions.PIECE", 4)
    ratings = group(rows)
    pieces = list(ratings.pieces())
    assert len(pieces) > 3
    assert [user for users, _ in pieces for user in range(USERS)[users]] == list(range(USERS))
    assert [one for _, piece in pieces for one in ungroup(piece)] == ungroup(ratings)
    assert (
        ratings.movie_counts(MOVIES + 1).tolist()
        == np.bincount(ratings.movies, minlength=MOVIES + 1).tolist()
    )
