// Drag a pair: what each loss makes of it, and how hard it pulls.
const pull = ({ data, animate }) => {
  const [NAMES, STEPS] = [Object.keys(TERMS), 150];
  const state = { p: -2, n: 4, squared: true, trained: null, steps: 0, moved: () => { state.trained = null; } };
  const pair = pairLine(state, ["Alien", "Legally Blonde"], [-3, 5]);
  const of = (name, x) => pairLoss(name, x, 1, state.squared && name !== "log BPR");
  const x = () => state.p - state.n;
  const at = (name) => (state.trained ? state.trained[name] : x());
  const train = () => {
    state.trained = Object.fromEntries(NAMES.map((name) => [name, x()]));
    state.steps = 0;
    // Gradient descent moves both scores, the positive up and the negative down, so x twice.
    animate(() => {
      for (const name of NAMES) state.trained[name] += 2 * 0.01 * of(name, state.trained[name]).pull;
      return ++state.steps < STEPS;
    });
  };
  return {
    start: () => data.moves && train(), // on the first page: once, for two and a half seconds
    title: "A pair, its loss and its pull",
    handles: pair.handles,
    controls: [
      { kind: "button", label: "Let each loss train the pair", act: train },
      { kind: "check", label: "with the square (BPR, hinge)", get: () => state.squared, set: (v) => { state.squared = v; state.trained = null; } },
    ],
    paint(width) {
      const boxes = tile(width, 2, { top: 118 });
      const panels = [
        panel({ ...boxes[0], x: [-6, 6], y: [-0.6, 9], title: "Loss", xlabel: "score difference x", xticks: [-6, -3, 0, 3, 6], yticks: [0, 3, 6, 9] }),
        panel({ ...boxes[1], x: [-6, 6], y: [-0.6, 9], title: "Pull towards a larger x", xlabel: "score difference x", xticks: [-6, -3, 0, 3, 6], yticks: [0, 3, 6, 9] }),
      ];
      let markup = pair.paint(width, 44);
      panels.forEach((plot, which) => {
        markup += plot.axes;
        NAMES.forEach((name, i) => {
          const height = (v) => (which ? of(name, v).pull : of(name, v).value);
          markup += plot.curve(grid(-6, 6).map((v) => [v, height(v)]), COLORS[i]);
          const place = Math.min(6, Math.max(-6, at(name)));
          markup += dot(plot.X(place), plot.Y(Math.min(9, height(place))), COLORS[i], 6);
        });
      });
      markup += legend(boxes[0].left + boxes[0].width - 86, boxes[0].top + 18, NAMES.map((name, i) => [name, COLORS[i]]));
      return { markup, height: boxes[1].bottom };
    },
    says() {
      const start = `x = ${number(state.p)} − ${number(state.n)} = ${signed(x())}. `;
      if (state.trained)
        return start + `After ${state.steps} of ${STEPS} steps of 0.01: ` + NAMES.map((name) => `${name} at ${signed(at(name), 2)}`).join(", ") + ".";
      return start + (x() > 0 ? "The right order. " : x() < 0 ? "The wrong order. " : "A tie. ") +
        NAMES.map((name) => `${name}: loss ${number(of(name, x()).value, 4)}, pull ${number(of(name, x()).pull, 2)}`).join("; ") + ".";
    },
  };
};
