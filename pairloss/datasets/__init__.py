"""Interactions to learn from: a generated set whose truth is known, published data of people.

All come as :class:`~pairloss.Interactions`. Nothing is downloaded unless published data are asked for.
"""

from pairloss.datasets.generated import generate as generate
from pairloss.datasets.published import citeulike_a as citeulike_a
from pairloss.datasets.published import lastfm_2k as lastfm_2k
from pairloss.datasets.published import movielens_100k as movielens_100k
from pairloss.datasets.published import public_split as public_split
from pairloss.datasets.published import read_lastfm_2k as read_lastfm_2k
from pairloss.datasets.published import read_movielens_100k as read_movielens_100k
