// The five forms of BPR at one difference.
const forms = () => {
  const NAMES = Object.keys(FORMS);
  const DASH = ["", 'stroke-dasharray="7 5"', "", 'stroke-dasharray="7 5"', 'stroke-dasharray="2 4"'];
  const state = { x: -1.5 };
  let plots = null;
  const log = (v) => Math.log10(Math.max(v, 1e-30));
  return {
    title: "Five formulas by the name of BPR",
    handles: [{
      label: "score difference x", color: "#888", min: -30, max: 6, step: 0.1,
      get: () => state.x,
      set: (v) => { state.x = v; },
      place: () => [plots[0].X(state.x), plots[0].Y(-1)],
      value: (x) => plots[0].x(x),
      says: (v) => `x = ${number(v)}`,
    }],
    paint(width) {
      const boxes = tile(width, 2, { top: 28 });
      const x = { x: [-30, 6], xlabel: "score difference x", xticks: [-30, -20, -10, 0] };
      plots = [
        panel({ ...boxes[0], ...x, y: [-1, 12], title: "Loss", yticks: [0, 4, 8, 12] }),
        panel({ ...boxes[1], ...x, y: [-14, 1], title: "Pull, logarithmic", yticks: [-12, -8, -4, 0], labels: (v) => `1e${v}` }),
      ];
      let markup = "";
      plots.forEach((plot, which) => {
        markup += plot.axes + line(plot.X(state.x), boxes[which].top, plot.X(state.x), boxes[which].top + boxes[which].height, 'opacity=".6"');
        NAMES.forEach((name, i) => {
          markup += plot.curve(grid(-30, 6).map((v) => [v, which ? log(FORMS[name](v)[1]) : FORMS[name](v)[0]]), COLORS[i], DASH[i]);
        });
      });
      markup += legend(boxes[0].left, boxes[1].bottom + 12, NAMES.map((name, i) => [name, COLORS[i], DASH[i]]));
      return { markup, height: boxes[1].bottom + 18 * NAMES.length };
    },
    says: () => `x = ${signed(state.x)}. ` + NAMES.map((name) => {
      const [value, pull] = FORMS[name](state.x);
      return `${name}: loss ${number(value, 4)}, pull ${pull < 0.001 ? pull.toExponential(1).replace("-", "−") : number(pull, 3)}`;
    }).join("; ") + ".",
  };
};
