// How the losses climb, epoch by epoch: the curves of the chapter, as its cells made them.
const training = ({ data, animate }) => {
  const names = Object.keys(data.curves);
  const epochs = Math.max(...names.map((name) => data.curves[name].length));
  const top = Math.max(...Object.values(data.lines), ...names.flatMap((name) => data.curves[name]));
  const state = { epoch: epochs };
  const upTo = (name) => data.curves[name].slice(0, state.epoch);
  let plot = null;
  return {
    title: `${data.measure} by epoch`,
    handles: [{
      label: "epoch", color: "#888", min: 1, max: epochs, step: 1,
      get: () => state.epoch,
      set: (v) => { state.epoch = v; },
      place: () => [plot.X(state.epoch), plot.Y(0)],
      value: (x) => plot.x(x),
      says: (v) => `epoch ${v}`,
    }],
    controls: [
      { kind: "button", label: "Train from the start", act() {
        let frame = 0;
        state.epoch = 1;
        animate(() => {
          if (++frame % 10 === 0) state.epoch++;
          return state.epoch < epochs;
        });
      } },
    ],
    paint(width) {
      const [box] = tile(width, 1, { height: 260 });
      plot = panel({ ...box, width: box.width - (width < 560 ? 0 : 140), x: [1, epochs], y: [0, top * 1.08], title: `${data.measure}, ${data.of}`, xlabel: "epoch", xticks: grid(0, epochs, epochs / 4).slice(1), yticks: grid(0, 0.5, 10).filter((v) => v <= top), labels: (v) => number(v, 2) });
      let markup = plot.axes;
      Object.entries(data.lines).forEach(([name, height], i) => {
        markup += line(plot.X(1), plot.Y(height), plot.X(epochs), plot.Y(height), `stroke-dasharray="${["2 3", "8 3 2 3", "7 4"][i]}" opacity=".7"`);
        markup += text(plot.X(1) + 4, plot.Y(height) - 4, name);
      });
      names.forEach((name, i) => {
        const points = upTo(name).map((height, e) => [e + 1, height]);
        const [e, height] = points.at(-1);
        markup += plot.curve(points, COLORS[i]) + dot(plot.X(e), plot.Y(height), COLORS[i], 4);
      });
      const below = width < 560;
      markup += legend(below ? box.left : width - 140, below ? box.bottom + 14 : box.top + 16, names.map((name, i) => [name, COLORS[i]]));
      return { markup, height: box.bottom + (below ? 18 * names.length : 0) };
    },
    says: () => `Epoch ${state.epoch}: ` + names.map((name) => `${name} ${number(upTo(name).at(-1), 3)}${data.curves[name].length < state.epoch ? " (stopped)" : ""}`).join(", ") + ".",
  };
};
