// What a training step costs, in memory and in bytes moved, and how that grows with the number of negatives.
const cost = () => {
  const state = { k: 6, b: 12, d: 6 };
  const WAYS = ["scored once", "scored twice", "scored twice, in pieces"];
  const at = (K) => WAYS.map((way) => stepCost(K, 2 ** state.b, 2 ** state.d, way));
  const whole = (power) => Math.round(2 ** power).toLocaleString("en");
  const size = (bytes) => {
    const power = Math.min(4, Math.floor(Math.log10(bytes) / 3));
    const value = bytes / 1000 ** power;
    return `${value.toFixed(value < 10 ? 1 : 0)} ${["B", "kB", "MB", "GB", "TB"][power]}`;
  };
  const pick = (key, label, min, max, step = 1) => ({
    kind: "range", label, min, max, step,
    get: () => state[key],
    set: (value) => { state[key] = value; },
    says: (value) => whole(value),
  });
  let first = null;
  return {
    title: "What a training step costs",
    handles: [{
      label: "K, the negatives of each positive", color: "#888", min: 0, max: 10, step: 0.25,
      get: () => state.k,
      set: (value) => { state.k = value; },
      place: () => [first.X(state.k), first.Y(4)],
      value: (x) => first.x(x),
      says: (value) => `K = ${Math.round(2 ** value)}`,
    }],
    controls: [pick("k", "K", 0, 10, 0.25), pick("b", "B", 10, 16), pick("d", "numbers in a vector", 4, 8)],
    paint(width) {
      const boxes = tile(width, 2, { height: 220, left: 58, foot: 56 });
      const panels = ["Peak memory", "Bytes moved"].map((title, i) => panel({
        ...boxes[i], x: [0, 10], y: [4, 12.2], title, xlabel: "K, negatives of each positive",
        yticks: [4, 6, 8, 10, 12], labels: (power) => size(10 ** power).replace(".0", ""),
      }));
      let markup = "";
      panels.forEach((chart, i) => {
        const key = ["peak", "moved"][i];
        markup += chart.axes;
        for (const k of [0, 2, 4, 6, 8, 10])
          markup += line(chart.X(k), boxes[i].top, chart.X(k), chart.Y(4), 'opacity=".15"') + text(chart.X(k), chart.Y(4) + 19, 2 ** k, 'text-anchor="middle"');
        markup += line(chart.X(state.k), boxes[i].top, chart.X(state.k), chart.Y(4), 'stroke-dasharray="3 3" opacity=".6"');
        WAYS.forEach((_, w) => {
          const height = (k) => Math.log10(at(2 ** k)[w][key]);
          markup += chart.curve(grid(0, 10, 40).map((k) => [k, height(k)]), COLORS[w]) + dot(chart.X(state.k), chart.Y(height(state.k)), COLORS[w], 4);
        });
      });
      first = panels[0];
      const bottom = boxes[1].bottom;
      markup += legend(boxes[0].left, bottom + 6, WAYS.map((way, w) => [way, COLORS[w]]));
      return { markup, height: bottom + 54 };
    },
    says() {
      const costs = at(Math.round(2 ** state.k));
      return `K = ${whole(state.k)} for each of ${whole(state.b)} positives, vectors of ${whole(state.d)}. ` + WAYS.map((way, w) =>
        `${way[0].toUpperCase()}${way.slice(1)}: ${size(costs[w].peak)} at the peak, ${size(costs[w].moved)} moved, at 10 GB a second at least ${number(costs[w].moved / 1e7, costs[w].moved < 1e8 ? 1 : 0)} ms`).join(". ") + ".";
    },
  };
};
