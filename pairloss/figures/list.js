// Drag an item of a list: two losses, two measures, and the pull of each loss on every item.
const list = () => {
  const names = ["Star Wars", "Alien", "Legally Blonde", "Spaceballs", "Casablanca"];
  const labels = [1, 1, 0, 0, 0];
  const state = { scores: [2, 0.5, 1, 0, -1] };
  const losses = { "all-pairs hinge": allPairs, LambdaRank: lambdaRank };
  let at = null;
  const row = (i) => 46 + 44 * i;
  return {
    title: "A list, two losses and two measures",
    handles: names.map((name, i) => ({
      label: `${name}, ${labels[i] ? "relevant" : "not relevant"}`,
      color: labels[i] ? COLORS[0] : "#888", min: -3, max: 4, step: 0.1,
      get: () => state.scores[i],
      set: (v) => { state.scores[i] = v; },
      place: () => [at.X(state.scores[i]), row(i)],
      value: (x) => at.x(x),
      says: (v) => `score ${number(v)}, place ${places(state.scores)[i]}`,
    })),
    paint(width) {
      at = panel({ left: 20, top: 24, width: width - 40, height: 44 * names.length, x: [-3, 4], y: [0, 1], title: "Scores, and the pull of each loss on them", xticks: [-3, -2, -1, 0, 1, 2, 3, 4] });
      const results = Object.values(losses).map((loss) => loss(state.scores, labels));
      let markup = at.axes;
      names.forEach((name, i) => {
        const x = at.X(state.scores[i]);
        const right = state.scores[i] > (width < 560 ? 0.7 : 1.5); // the name stands on the side with room
        markup += text(x + (right ? -16 : 16), row(i) - 10, `${labels[i] ? "+ " : ""}${name}, place ${places(state.scores)[i]}`, `text-anchor="${right ? "end" : "start"}"`);
        results.forEach(({ pulls }, which) => {
          const [y, to] = [row(i) + 6 + 7 * which, px(x + pulls[i] * 0.16 * width)];
          if (Math.abs(to - x) < 1) return;
          const tip = Math.sign(to - x) * 5;
          markup += `<path d="M${px(x)} ${y}H${to}m${-tip} -3.5l${tip} 3.5l${-tip} 3.5" fill="none" stroke="${COLORS[1 + which]}" stroke-width="2.4"/>`;
        });
      });
      markup += legend(20, 44 * names.length + 62, Object.keys(losses).map((name, i) => [name, COLORS[1 + i]]));
      return { markup, height: 44 * names.length + 92 };
    },
    says: () => Object.entries(losses).map(([name, loss]) => {
      const { value, pulls } = loss(state.scores, labels);
      return `${name} ${number(value, 4)}, pull on Alien ${signed(pulls[1], 3)}`;
    }).join("; ") + `. NDCG ${number(ndcg(state.scores, labels), 3)}, AUC ${number(auc(state.scores, labels), 3)}.`,
  };
};
