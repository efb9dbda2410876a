// WARP's search, a try at a time; the order of the negatives is in the reader's hands.
const search = () => {
  const state = { who: "Star Wars", p: 3, negatives: [1, 1.5, 2.5, 4], names: ["Clueless", "Spaceballs", "Star Trek", "Legally Blonde"], shown: 0, items: 30, kind: "log", margin: true };
  const found = () => warp(state.p, state.negatives, state.items, state.kind);
  const seen = () => Math.min(state.shown, found().tries);
  const chart = bars(state, state.names, [-1, 5], (k) =>
    k >= seen() ? "#999" : found().found && k === found().tries - 1 ? COLORS[1] : COLORS[2]);
  const again = (act) => () => { act(); state.shown = 0; };
  const last = () => `${state.names[highest(state.negatives)]}`;
  return {
    title: "WARP's search for the first violation",
    handles: chart.handles,
    controls: [
      { kind: "button", label: "Next try", act: () => { state.shown = Math.min(seen() + 1, found().tries); } },
      { kind: "button", label: "Start over", act: () => { state.shown = 0; } },
      { kind: "button", label: "Last one first", act: again(() => { for (const list of [state.negatives, state.names]) list.unshift(list.pop()); }) },
      { kind: "choice", label: "items in the catalogue", options: ["4", "30", "1682"], get: () => "30", set: (v) => { state.items = Number(v); } },
      { kind: "choice", label: "rank weight", options: ["log", "harmonic"], get: () => "log", set: (v) => { state.kind = v; } },
    ],
    paint(width) {
      const [box] = tile(width, 1, { height: 220, foot: 92 });
      return { markup: chart.paint(box, "Scores, in the order of the draws"), height: box.bottom };
    },
    says() {
      const { margins, tries, weight, term, value } = found();
      if (!state.shown) return `Nothing drawn yet. The hardest, which adaptive hinge would take, is ${last()}: loss ${number(pairLoss("hinge", state.p - Math.max(...state.negatives)).value, 4)}.`;
      const now = seen();
      const step = `Try ${now}, ${state.names[now - 1]}: 1 − ${number(state.p)} + ${number(state.negatives[now - 1])} = ${signed(margins[now - 1])}, `;
      if (now < tries || !found().found)
        return step + "keeps the margin: " + (now < tries ? "go on." : "and nobody is left. The pair costs nothing.");
      return step + `violates: stop.\nWeight ${number(weight, 4)} × ${number(margins[now - 1], 1)} = ${number(term, 4)}, with its square ${number(value, 4)}.`;
    },
  };
};
