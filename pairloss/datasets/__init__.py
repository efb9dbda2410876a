"""Interactions to learn from: a generated set whose truth is known, and MovieLens 100K.

Both come as :class:`~pairloss.Interactions`. Nothing is downloaded unless MovieLens is asked for.
"""

from pairloss.datasets.generated import generate as generate
from pairloss.datasets.movielens import movielens_100k as movielens_100k
from pairloss.datasets.movielens import read_movielens_100k as read_movielens_100k
