// All draws at once: the temperature says how the softmax divides its pull among them.
const temperature = () => {
  const state = { who: "Alien", p: 1.5, negatives: DRAWS.map(([, score]) => score), log: 0 };
  const names = DRAWS.map(([name]) => name);
  const tau = () => 10 ** state.log;
  const all = () => softmax(state.p, state.negatives, tau());
  const chart = bars(state, names, [-2, 4], () => "#999");
  return {
    title: "How a softmax divides its pull",
    handles: chart.handles,
    controls: [
      { kind: "range", label: "temperature τ", min: -1.3, max: 1, step: 0.05, get: () => state.log, set: (v) => { state.log = v; }, says: () => number(tau(), 2) },
    ],
    paint(width) {
      const boxes = tile(width, 2, { height: 200, foot: 92 });
      let markup = chart.paint(boxes[0], "Scores");
      const plot = panel({ ...boxes[1], x: [-1, names.length + 0.6], y: [0, 1], title: "Share of the pull", yticks: [0, 0.5, 1], labels: (v) => number(v, 1) });
      const wide = Math.min(46, (boxes[1].width / (names.length + 1.3)) * 0.7);
      markup += plot.axes;
      all().shares.forEach((share, k) => {
        markup += `<rect x="${px(plot.X(k + 1) - wide / 2)}" y="${px(plot.Y(share))}" width="${px(wide)}" height="${px(plot.Y(0) - plot.Y(share))}" fill="${COLORS[1]}"/>`;
        markup += `<text transform="translate(${px(plot.X(k + 1) + 4)} ${px(plot.Y(0) + 10)}) rotate(-40)" text-anchor="end">${escaped(names[k])}</text>`;
      });
      return { markup, height: boxes[1].bottom };
    },
    says() {
      const { value, shares } = all();
      const order = shares.map((_, k) => k).sort((a, b) => shares[b] - shares[a]);
      return `Positive ${number(state.p)}, τ = ${number(tau(), 2)}: loss ${number(value, 4)}. Of the pull ` +
        order.slice(0, 3).map((k) => `${names[k]} gets ${number(shares[k], 2)}`).join(", ") + `; all eight together ${number(sum(shares), 2)}.`;
    },
  };
};
