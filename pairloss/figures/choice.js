// Eight draws, four rules: which negative does each take, and how hard does hinge then pull?
const DRAWS = [["Casablanca", 0.1], ["Clueless", 0.8], ["Cats", -0.6], ["Spaceballs", 1.1], ["Star Trek", 2.4], ["Grease", 0.2], ["Legally Blonde", 3.1], ["Psycho", -0.2]];
const choice = () => {
  const state = { who: "Alien", p: 1.5, negatives: DRAWS.map(([, score]) => score), margin: true };
  const names = DRAWS.map(([name]) => name);
  const taken = () => choices(state.p, state.negatives);
  const chart = bars(state, names, [-2, 5], (k) => {
    const rules = Object.values(taken());
    return rules.includes(k) ? COLORS[rules.lastIndexOf(k)] : "#999";
  });
  return {
    title: "Which negative each rule takes",
    handles: chart.handles,
    paint(width) {
      const [box] = tile(width, 1, { top: 30, height: 230, foot: 92 });
      let markup = chart.paint(box, "Scores, in the order of the draws");
      const above = {};
      Object.entries(taken()).forEach(([rule, k], i) => {
        if (k < 0) return;
        above[k] = (above[k] ?? (width < 560 ? i % 3 : 0)) + 1; // names of neighbours would meet on a phone
        const [anchor, x] = k > 5 ? ["end", 20] : k < 2 ? ["start", -14] : ["middle", 0];
        markup += text(chart.X(k) + x, Math.max(12, chart.Y(state.negatives[k]) - 15 * above[k]), rule, `text-anchor="${anchor}" class="bold"`);
      });
      return { markup, height: box.bottom };
    },
    says: () => `Positive ${number(state.p)}. ` + Object.entries(taken()).map(([rule, k]) =>
      rule + (k < 0 ? ": none found" : ` takes ${names[k]}, ${number(state.negatives[k])}: pull ${number(pairLoss("hinge", state.p - state.negatives[k]).pull, 2)}`)).join("; ") + ".",
  };
};
