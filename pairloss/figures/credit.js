// A pair with partial credit: where does each pair term let it rest?
const credit = ({ animate }) => {
  const NAMES = Object.keys(TERMS);
  const state = { p: 1, n: 3, credit: 0.25, trained: null, steps: 0, moved: () => { state.trained = null; } };
  const pair = pairLine(state, ["Star Wars", "Star Trek"], [-2, 4]);
  const d = () => 1 - state.credit;
  const x = () => state.p - state.n;
  const at = (name) => (state.trained ? state.trained[name] : x());
  const rest = (name) => {
    if (name === "hinge") return d();
    if (name === "log BPR") return d() < 1 ? Math.log((1 + d()) / (1 - d())) : Infinity;
    return d() < 0.5 ? Math.log((d() + 0.5) / (0.5 - d())) : Infinity;
  };
  return {
    title: "Partial credit, and where a pair comes to rest",
    handles: pair.handles,
    controls: [
      { kind: "range", label: "credit", min: 0, max: 0.75, step: 0.05, get: () => state.credit, set: (v) => { state.credit = v; state.trained = null; }, says: (v) => `${number(v, 2)}, d = ${number(1 - v, 2)}` },
      { kind: "button", label: "Let it train", act() {
        state.trained = Object.fromEntries(NAMES.map((name) => [name, x()]));
        state.steps = 0;
        animate(() => {
          for (let i = 0; i < 10; i++)
            for (const name of NAMES) state.trained[name] += 0.02 * pairLoss(name, state.trained[name], d()).pull;
          state.steps += 10;
          return state.steps < 2000;
        });
      } },
    ],
    paint(width) {
      const boxes = tile(width, 3, { top: 118, height: 170, left: 30 });
      let markup = pair.paint(width, 44);
      NAMES.forEach((name, i) => {
        const plot = panel({ ...boxes[i], x: [-4, 6], y: [-0.5, 5], title: name + (name === "log BPR" ? "" : ", with its square"), xlabel: "score difference x", xticks: [-4, -2, 0, 2, 4, 6], yticks: [0, 2, 4] });
        const curve = (ideal, more) => plot.curve(grid(-4, 6).map((v) => [v, pairLoss(name, v, ideal).value]), COLORS[i], more);
        markup += plot.axes + curve(1, 'stroke-dasharray="3 4" opacity=".8"') + curve(d(), "");
        if (rest(name) <= 6) markup += line(plot.X(rest(name)), boxes[i].top, plot.X(rest(name)), boxes[i].top + boxes[i].height, 'stroke-dasharray="2 3"');
        const place = Math.min(6, Math.max(-4, at(name)));
        markup += dot(plot.X(place), plot.Y(Math.min(5, pairLoss(name, place, d()).value)), COLORS[i], 6);
      });
      return { markup, height: boxes[2].bottom };
    },
    says() {
      const start = `x = ${signed(x())}, ideal difference d = ${number(d(), 2)}. `;
      if (state.trained)
        return start + `After ${state.steps} of 2000 steps of 0.02: ` + NAMES.map((name) => `${name} at ${signed(at(name), 2)}${Number.isFinite(rest(name)) ? "" : ", still climbing"}`).join("; ") + ".";
      return start + NAMES.map((name) => `${name}: loss ${number(pairLoss(name, x(), d()).value, 4)}, ${Number.isFinite(rest(name)) ? `rests at ${number(rest(name), 2)}` : "never rests"}`).join("; ") + ".";
    },
  };
};
