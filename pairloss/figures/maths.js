// What the figures compute, in plain functions without a page. tests/test_figures.py holds each to pairloss.
const sigmoid = (x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));
const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const sum = (values) => values.reduce((a, b) => a + b, 0);

// The pair terms ℓ at a difference x with an ideal difference d, and how fast each falls.
const TERMS = {
  BPR: (x, d) => [sigmoid(-x) - (1 - d), sigmoid(x) * sigmoid(-x)],
  hinge: (x, d) => [Math.max(0, d - x), x < d ? 1 : 0],
  "log BPR": (x, d) => {
    const t = (1 + d) / 2;
    return [t * softplus(-x) + (1 - t) * softplus(x), t * sigmoid(-x) - (1 - t) * sigmoid(x)];
  },
};

function pairLoss(name, x, d = 1, squared = name !== "log BPR") {
  const [term, fall] = TERMS[name](x, d);
  return squared ? { value: term + term * term, pull: fall * (1 + 2 * term) } : { value: term, pull: fall };
}

// The five forms of "BPR", each with its pull.
const FORMS = {
  "paper, LightFM": (x) => [softplus(-x), sigmoid(-x)],
  RecBole: (x) => [-Math.log(sigmoid(x) + 1e-10), (sigmoid(x) * sigmoid(-x)) / (sigmoid(x) + 1e-10)],
  Spotlight: (x) => [sigmoid(-x), sigmoid(x) * sigmoid(-x)],
  torchmf: (x) => [sigmoid(-x) ** 2, 2 * sigmoid(-x) ** 2 * sigmoid(x)],
  Collie: (x) => [sigmoid(-x) + sigmoid(-x) ** 2, sigmoid(x) * sigmoid(-x) * (1 + 2 * sigmoid(-x))],
};

function rankWeight(items, tries, kind) {
  if (kind === "log") return Math.log(items / tries);
  return sum(Array.from({ length: Math.floor((items - 1) / tries) }, (_, i) => 1 / (i + 1)));
}

// WARP's search: every try up to the first violation, and what it costs.
function warp(positive, negatives, items, kind = "log") {
  const margins = negatives.map((n) => 1 - positive + n);
  const first = margins.findIndex((margin) => margin > 0);
  if (first < 0) return { margins, tries: negatives.length, found: false, weight: 0, term: 0, value: 0 };
  const weight = rankWeight(items, first + 1, kind);
  const term = weight * margins[first];
  return { margins, tries: first + 1, found: true, weight, term, value: term + term * term };
}

const highest = (values) => values.indexOf(Math.max(...values));

// Which of the negatives each rule takes; -1 where the search finds none.
function choices(positive, negatives) {
  const below = negatives.filter((n) => n < positive);
  return {
    uniform: 0,
    "first violation": negatives.findIndex((n) => 1 - positive + n > 0),
    "semi-hard": negatives.indexOf(below.length ? Math.max(...below) : Math.min(...negatives)),
    hardest: highest(negatives),
  };
}

// The softmax of a positive against all negatives: its loss, and what each negative gets of the pull, times τ.
function softmax(positive, negatives, temperature = 1) {
  const top = Math.max(positive, ...negatives);
  const parts = [positive, ...negatives].map((s) => Math.exp((s - top) / temperature));
  const total = sum(parts);
  return {
    value: Math.log(total) - (positive - top) / temperature,
    shares: parts.slice(1).map((part) => part / total),
  };
}

// A list: places by falling scores (ties in the order given), and NDCG, AUC and the losses with their pulls.
function places(scores) {
  const order = scores.map((_, i) => i).sort((a, b) => scores[b] - scores[a] || a - b);
  return scores.map((_, i) => order.indexOf(i) + 1);
}

function ndcg(scores, labels) {
  const gain = (values) => sum(values.map((place, i) => (2 ** labels[i] - 1) / Math.log2(1 + place)));
  return gain(places(scores)) / gain(places(labels));
}

function auc(scores, labels) {
  const wins = pairsOf(labels).map(([i, j]) => (scores[i] > scores[j] ? 1 : scores[i] === scores[j] ? 0.5 : 0));
  return sum(wins) / wins.length;
}

const pairsOf = (labels) =>
  labels.flatMap((a, i) => labels.flatMap((b, j) => (a > b ? [[i, j]] : [])));

// Σ weight · term(x) over the pairs of a higher and a lower label, and the pull on each item.
function overPairs(scores, labels, weight, term) {
  const pulls = scores.map(() => 0);
  let value = 0;
  for (const [i, j] of pairsOf(labels)) {
    const [loss, fall] = term(scores[i] - scores[j]);
    const w = weight(i, j);
    value += w * loss;
    pulls[i] += w * fall;
    pulls[j] -= w * fall;
  }
  return { value, pulls };
}

function allPairs(scores, labels) {
  const count = pairsOf(labels).length;
  return overPairs(scores, labels, () => 1 / count, (x) => TERMS.hinge(x, 1));
}

function lambdaRank(scores, labels) {
  const discount = places(scores).map((place) => 1 / Math.log2(1 + place));
  const gain = labels.map((label) => 2 ** label - 1);
  const ideal = sum(places(labels).map((place, i) => gain[i] / Math.log2(1 + place)));
  const swap = (i, j) => Math.abs((gain[i] - gain[j]) * (discount[i] - discount[j])) / ideal;
  return overPairs(scores, labels, swap, (x) => TERMS["log BPR"](x, 1));
}

// A step whose K·B negatives have vectors of D float32, in bytes: the peak of what it holds, and what it reads and
// writes. Once: gathered, multiplied and summed, and all of it again for the gradients. Twice: without gradients.
// In pieces, of 2¹³ pairs, only the vectors themselves come from memory; the rest stays in the cache.
function stepCost(K, B, D, way) {
  const vectors = 4 * K * B * D, scores = 11 * K * B;
  const piece = Math.min(K, Math.max(1, Math.floor(2 ** 13 / B))) / K;
  return {
    "scored once": { peak: 3 * vectors + scores, moved: 12 * vectors },
    "scored twice": { peak: 2 * vectors + scores, moved: 5 * vectors },
    "scored twice, in pieces": { peak: 2 * vectors * piece + scores, moved: vectors },
  }[way];
}
