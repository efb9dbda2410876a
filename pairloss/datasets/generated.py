"""Films, people and choices made from tastes that are known."""

import torch
from torch import Tensor

from pairloss import checks
from pairloss.interactions import Interactions

# For the made films: the words of a title tell its genre. The commonest genre comes first.
_NOUNS = {
    "Drama": "Daughter Promise Orchard Letter Inheritance Silence Harbour Farewell",
    "Comedy": "Wedding Landlord Holiday Cousin Casserole Misunderstanding Parrot Dentist",
    "Action": "Ambush Pursuit Countdown Commando Explosion Bodyguard Convoy Rampage",
    "Thriller": "Witness Hostage Accomplice Signal Stranger Deadline Passenger Wiretap",
    "Romance": "Kiss Dance Bouquet Serenade Valentine Balcony Sweetheart Proposal",
    "Adventure": "Voyage Island Caravan Expedition Jungle Treasure Summit Compass",
    "Crime": "Heist Detective Racket Verdict Smuggler Alibi Informer Vault",
    "Sci-Fi": "Asteroid Android Galaxy Reactor Colony Paradox Starship Antenna",
    "Horror": "Cellar Coffin Werewolf Curse Scream Graveyard Mannequin Fog",
    "Mystery": "Cipher Lighthouse Portrait Riddle Footprint Mansion Telegram Shadow",
    "Musical": "Melody Chorus Tango Overture Nightclub Trumpet Encore Rehearsal",
    "Western": "Saloon Sheriff Stagecoach Prairie Outlaw Canyon Mustang Spur",
}
_ADJECTIVES = (
    "Last Crimson Hidden Silver Broken Distant Secret Golden Burning Lonely "
    "Midnight Forgotten Wild Second Frozen Velvet Little Electric Northern Impossible"
)


def generate(
    seed: int = 0, *, num_users: int = 1000, num_items: int = 1000, genre_share: float = 0.8, skew: float = 1.3
) -> Interactions:
    r"""Make interactions from tastes that are known: 1,000 users, 1,000 films, about 30,000 choices.

    Films have one to three of twelve genres. Users and films are unit vectors whose genre part carries
    ``genre_share`` of the squared length and a Gaussian part in 8 dimensions the rest. The genre part of a
    user is drawn from Dirichlet(¼). Film i at popularity rank r (from 0, in random order) is worth

    .. math:: \text{utility}_{ui} = 8 \langle u, i \rangle - \text{skew} \cdot \log(r_i + 5)

    to user u, who chooses min(6 + Geometric(1/24), N/6) films without replacement, each with a probability
    in proportion to :math:`e^\text{utility}` (the largest sums of utility and Gumbel noise).

    Args:
        seed: every seed is another world, the same each time. torch's own random state
            is borrowed and put back, so call this from one thread at a time.
        num_users: U, at least 1
        num_items: N, at least 12
        genre_share: how much of taste is genre, between 0 and 1
        skew: how unequal the popularity of the films is, from 0, the same for all, to 100

    Returns:
        :class:`~pairloss.Interactions`, with ``utilities``, on the CPU.

    Raises:
        TypeError: for a wrong type
        ValueError: for a number outside its range

    >>> films = generate()
    >>> films.genres.shape, films.titles[0]
    (torch.Size([1000, 12]), 'The Last Daughter')
    """
    checks.count("seed", seed, 0, 2**63 - 1)
    checks.count("num_users", num_users, 1)
    checks.count("num_items", num_items, 12)
    checks.number("genre_share", genre_share, above_0=False, at_most=1)
    checks.number("skew", skew, above_0=False, at_most=100)
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):
        share = torch.arange(1, len(_NOUNS) + 1, dtype=torch.float64) ** -0.7
        torch.default_generator.manual_seed(int(seed))
        drawn = _ordered_draws(share.log().expand(num_items, -1))
        wanted = torch.randint(1, 4, (num_items, 1))
        genres = torch.zeros(num_items, len(_NOUNS), dtype=torch.bool).scatter_(
            1, drawn, torch.arange(len(_NOUNS)) < wanted
        )
        tastes = torch.distributions.Dirichlet(torch.full((len(_NOUNS),), 0.25, dtype=torch.float64))
        people = _vectors(tastes.sample(torch.Size([num_users])), genre_share)
        films = _vectors(genres.double(), genre_share)
        rank = torch.randperm(num_items)
        utilities = 8 * people @ films.T - float(skew) * torch.log(rank.double() + 5)
        chosen = _ordered_draws(utilities)
        geometric = torch.empty(num_users, 1, dtype=torch.float64).geometric_(1 / 24)
        counts = (6 + geometric).clamp(max=num_items // 6)
        drawn_so_far = torch.arange(num_items) < counts
        likes = torch.zeros(num_users, num_items, dtype=torch.bool).scatter_(1, chosen, drawn_so_far)
    users, items = likes.nonzero(as_tuple=True)
    titles = _titles([list(_NOUNS)[first] for first in drawn[:, 0].tolist()])
    names = list(_NOUNS)
    return Interactions(users, items, num_users, num_items, "generated films", titles, genres, names, utilities)


def _ordered_draws(log_weights: Tensor) -> Tensor:
    """For each row all columns in the order in which they are drawn without replacement, by Gumbel noise."""
    gumbel = -torch.log(-torch.log(torch.rand(log_weights.shape, dtype=torch.float64)))
    return (log_weights + gumbel).argsort(1, descending=True)


def _vectors(genre_part: Tensor, genre_share: float) -> Tensor:
    other = torch.randn(len(genre_part), 8, dtype=torch.float64)
    parts = [torch.nn.functional.normalize(part) for part in (genre_part, other)]
    return torch.cat([genre_share**0.5 * parts[0], (1 - genre_share) ** 0.5 * parts[1]], 1)


def _titles(genres: list[str]) -> list[str]:
    adjectives = _ADJECTIVES.split()
    made = dict.fromkeys(_NOUNS, 0)
    titles: list[str] = []
    for genre in genres:
        # Both words move on at every film of a genre. 20 adjectives and 8 nouns meet again after 40 steps,
        # and the extra step then makes all 160 pairs come once. What follows are sequels.
        sequel, number = divmod(made[genre], 160)
        made[genre] += 1
        words = adjectives[(number + number // 40) % 20], _NOUNS[genre].split()[number % 8]
        titles.append(f"The {' '.join(words)}" + (f" {sequel + 1}" if sequel else ""))
    return titles
