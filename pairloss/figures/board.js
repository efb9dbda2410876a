// One figure to play with: a drawing that is painted anew at each change, handles that can be dragged with a pointer
// or moved with arrow keys, native controls, and a sentence that says what the drawing shows.
const COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#C98500"];
const STYLE = `
figure.pairloss-figure{margin:1em 0;padding:0;max-width:760px;font:13px/1.4 system-ui,sans-serif;color:inherit}
.pairloss-figure svg{display:block;width:100%;height:auto;overflow:visible;touch-action:pan-y}
.pairloss-figure text{fill:currentColor;font-size:13px}
.pairloss-figure .bold{font-weight:700}
.pairloss-figure .handle{cursor:grab;touch-action:none}
.pairloss-figure .handle:focus:not(:focus-visible){outline:none}
.pairloss-figure .handle:focus-visible{outline:2.5px solid currentColor}
.pairloss-figure .controls{display:flex;flex-wrap:wrap;gap:.4em 1em;align-items:center;margin:.4em 0}
.pairloss-figure label{display:inline-flex;gap:.4em;align-items:center;margin:0}
.pairloss-figure :is(button,select,input){font:inherit;color:inherit;accent-color:#0072B2;margin:0}
.pairloss-figure :is(button,select){background:none;border:1px solid currentColor;border-radius:4px;padding:.25em .7em;min-height:28px}
.pairloss-figure option{background:Canvas;color:CanvasText}
.pairloss-figure :is(button,select,input):focus-visible{outline:2.5px solid #D55E00;outline-offset:2px}
.pairloss-figure .says{margin:.3em 0 0;min-height:4.2em;white-space:pre-line;font-variant-numeric:tabular-nums}
@media print{.pairloss-figure .controls{display:none}}`;

const escaped = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;");
const signed = (value, digits = 1) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits);
const number = (value, digits = 1) => (value < 0 ? "−" : "") + Math.abs(value).toFixed(digits);
const px = (value) => +value.toFixed(1);
const line = (x1, y1, x2, y2, more = "") => `<line x1="${px(x1)}" y1="${px(y1)}" x2="${px(x2)}" y2="${px(y2)}" stroke="currentColor" ${more}/>`;
const text = (x, y, content, more = "") => `<text x="${px(x)}" y="${px(y)}" ${more}>${escaped(content)}</text>`;
const dot = (x, y, color, r = 5) => `<circle cx="${px(x)}" cy="${px(y)}" r="${r}" fill="${color}"/>`;

// A panel with axes: X and Y from values to pixels, and back.
function panel({ left, top, width, height, x, y, title, xlabel, xticks = [], yticks = [], labels = String }) {
  const X = (v) => left + ((v - x[0]) / (x[1] - x[0])) * width;
  const Y = (v) => top + height - ((v - y[0]) / (y[1] - y[0])) * height;
  const inside = (v) => v >= y[0] && v <= y[1];
  let axes = text(left, top - 8, title) + line(left, top + height, left + width, top + height);
  for (const tick of xticks)
    axes += line(X(tick), top, X(tick), top + height, 'opacity=".15"') + text(X(tick), top + height + 15, number(tick, 0), 'text-anchor="middle"');
  for (const tick of yticks)
    axes += line(left, Y(tick), left + width, Y(tick), 'opacity=".15"') + text(left - 5, Y(tick) + 4, labels(tick), 'text-anchor="end"');
  if (xlabel) axes += text(left + width / 2, top + height + 32, xlabel, 'text-anchor="middle"');
  return {
    X, Y, axes, inside,
    x: (pixel) => x[0] + ((pixel - left) / width) * (x[1] - x[0]),
    y: (pixel) => y[0] + ((top + height - pixel) / height) * (y[1] - y[0]),
    curve(points, color, more = "") {
      let path = "", pen = "M";
      for (const [a, b] of points) {
        if (!inside(b)) { pen = "M"; continue; }
        path += `${pen}${px(X(a))} ${px(Y(b))}`;
        pen = " ";
      }
      return `<path d="${path}" fill="none" stroke="${color}" stroke-width="2.2" ${more}/>`;
    },
  };
}

const grid = (from, to, count = 120) => Array.from({ length: count + 1 }, (_, i) => from + ((to - from) * i) / count);
const legend = (x, y, entries) =>
  entries.map(([name, color, dash], i) =>
    line(x, y + 18 * i - 4, x + 20, y + 18 * i - 4, `style="stroke:${color}" stroke-width="2.5" ${dash || ""}`) + text(x + 26, y + 18 * i, name)).join("");

// Panels beside each other where there is room, below each other on a phone. In each: its place and size.
function tile(width, count, { height = 190, top = 24, left = 38, foot = 44 } = {}) {
  const across = width < 560 ? 1 : count;
  const each = width / across;
  return Array.from({ length: count }, (_, i) => ({
    left: (i % across) * each + left,
    top: top + Math.floor(i / across) * (height + foot + 22),
    width: each - left - 14,
    height,
    bottom: top + Math.floor(i / across) * (height + foot + 22) + height + foot,
  }));
}

// A positive and a negative on one line of scores: the handles of both, and their drawing.
function pairLine(state, names, range) {
  let at = null;
  const handle = (key, label, color) => ({
    label, color, min: range[0], max: range[1], step: 0.1,
    get: () => state[key],
    set: (value) => { state[key] = value; state.moved?.(); },
    place: () => [at.X(state[key]), at.row],
    value: (x) => at.x(x),
    says: (value) => `score ${number(value)}`,
  });
  return {
    handles: [handle("p", `${names[0]}, the positive`, COLORS[0]), handle("n", `${names[1]}, the negative`, COLORS[1])],
    paint(width, row) {
      const scale = panel({ left: 24, top: row, width: width - 48, height: 0, x: range, y: [0, 1], title: "" });
      at = { ...scale, row };
      const flip = state.p < state.n;
      const label = (key, name, sign) =>
        text(scale.X(state[key]), row - 18, `${sign} ${name} ${number(state[key])}`,
          `class="bold" text-anchor="${(state[key] - range[0]) / (range[1] - range[0]) < 0.25 ? "start" : (state[key] - range[0]) / (range[1] - range[0]) > 0.75 ? "end" : "middle"}" ${key === "n" ? `dy="${54}"` : ""}`);
      let marks = line(24, row, width - 24, row, 'opacity=".5"');
      for (let tick = range[0]; tick <= range[1]; tick++) marks += line(scale.X(tick), row - 4, scale.X(tick), row + 4, 'opacity=".5"');
      marks += line(scale.X(state.n), row, scale.X(state.p), row, `style="stroke:${flip ? COLORS[1] : COLORS[0]}" stroke-width="4"`);
      return marks + label("p", names[0], "+") + label("n", names[1], "?");
    },
  };
}

// Negatives as bars whose tops are handles, beside a positive that is one, too.
function bars(state, names, range, colorOf) {
  let at = null;
  const handle = (label, get, set, place, color) => ({
    label, color, min: range[0], max: range[1], step: 0.1, upright: true, get, set, place,
    value: (_, y) => at.y(y),
    says: (value) => `score ${number(value)}`,
  });
  return {
    handles: [
      handle("the positive", () => state.p, (v) => { state.p = v; }, () => [at.X(-0.5), at.Y(state.p)], COLORS[0]),
      ...state.negatives.map((_, k) =>
        handle(`negative ${k + 1}`, () => state.negatives[k], (v) => { state.negatives[k] = v; },
          () => [at.X(k + 1), at.Y(state.negatives[k])], "#888")),
    ],
    paint(box, title) {
      const count = state.negatives.length;
      at = panel({ ...box, x: [-1, count + 0.6], y: range, title, yticks: grid(range[0], range[1], range[1] - range[0]), labels: (v) => number(v, 0) });
      const wide = Math.min(46, (box.width / (count + 1.3)) * 0.7);
      let marks = at.axes + line(box.left, at.Y(state.p), box.left + box.width, at.Y(state.p), `style="stroke:${COLORS[0]}" stroke-width="1.5"`);
      marks += text(box.left + 4, Math.max(box.top + 12, at.Y(state.p) - 12), `${state.who} ${number(state.p)}`);
      if (state.margin && box.width > 400 && state.p - 1.5 > range[0]) marks += text(box.left + 4, at.Y(state.p - 1) + 15, "minus margin");
      if (state.margin) marks += line(box.left, at.Y(state.p - 1), box.left + box.width, at.Y(state.p - 1), `style="stroke:${COLORS[0]}" stroke-dasharray="5 4"`);
      state.negatives.forEach((n, k) => {
        const [a, b] = [at.Y(Math.max(n, range[0])), at.Y(range[0])];
        marks += `<rect x="${px(at.X(k + 1) - wide / 2)}" y="${px(a)}" width="${px(wide)}" height="${px(Math.max(0, b - a))}" fill="${colorOf(k)}" opacity=".75"/>`;
        const name = names?.[k] ?? String(k + 1);
        marks += `<text transform="translate(${px(at.X(k + 1) + 4)} ${px(b + 10)}) rotate(-40)" text-anchor="end">${escaped(name)}</text>`;
      });
      return marks;
    },
    X: (k) => at.X(k + 1),
    Y: (v) => at.Y(v),
  };
}

function play(name, make, data) {
  for (const root of document.querySelectorAll(`figure.pairloss-figure[data-figure="${name}"]:not([data-live])`)) mount(root, make, data);
}

function mount(root, make, data) {
  const SVG = "http://www.w3.org/2000/svg";
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let width = 640, running = 0;
  const figure = make({ data, refresh, animate });
  const html = (tag, properties, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const svg = document.createElementNS(SVG, "svg");
  const paint = svg.appendChild(document.createElementNS(SVG, "g"));
  const says = html("p", { className: "says" });
  const controls = html("div", { className: "controls" });
  svg.setAttribute("role", "group");
  svg.setAttribute("aria-label", figure.title);
  paint.setAttribute("aria-hidden", "true");
  says.setAttribute("aria-live", "polite");

  const handles = (figure.handles ?? []).map((handle) => {
    const element = svg.appendChild(document.createElementNS(SVG, "g"));
    element.innerHTML = `<circle r="20" fill="transparent"/><circle r="7" fill="${handle.color}"/>`;
    const set = (value) => {
      const round = Math.round(value / handle.step) * handle.step;
      running++; // whatever was moving by itself stops
      handle.set(Number(Math.min(handle.max, Math.max(handle.min, round)).toFixed(6)));
      refresh();
    };
    const attributes = { class: "handle", role: "slider", tabindex: 0, "aria-label": handle.label, "aria-valuemin": handle.min, "aria-valuemax": handle.max };
    if (handle.upright) attributes["aria-orientation"] = "vertical";
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.addEventListener("pointerdown", (event) => {
      element.setPointerCapture(event.pointerId);
      element.focus({ preventScroll: true });
      says.setAttribute("aria-busy", "true"); // spoken when the drag ends, not at each pixel
      event.preventDefault();
    });
    element.addEventListener("pointermove", (event) => {
      if (!element.hasPointerCapture(event.pointerId)) return;
      const box = svg.getBoundingClientRect();
      const scale = width / box.width;
      set(handle.value((event.clientX - box.left) * scale, (event.clientY - box.top) * scale));
    });
    for (const end of ["pointerup", "pointercancel"]) element.addEventListener(end, () => says.removeAttribute("aria-busy"));
    element.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 }[event.key];
      const to = by ? handle.get() + by * handle.step : { Home: handle.min, End: handle.max }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      set(to);
    });
    return { handle, element };
  });

  const synced = []; // controls that show a state that something else may change
  for (const control of figure.controls ?? []) {
    const { kind, label } = control;
    const change = (value) => { running++; control.set(value); refresh(); };
    if (kind === "button") {
      controls.append(html("button", { type: "button", textContent: label, onclick: () => { running++; control.act(); refresh(); } }));
    } else if (kind === "check") {
      const box = html("input", { type: "checkbox", checked: control.get(), onchange: () => change(box.checked) });
      controls.append(html("label", {}, box, label));
    } else if (kind === "choice") {
      const select = html("select", { onchange: () => change(control.options[select.selectedIndex]) }, ...control.options.map((option) => html("option", { textContent: option })));
      select.selectedIndex = control.options.indexOf(control.get());
      controls.append(html("label", {}, label, select));
    } else {
      const range = html("input", { type: "range", min: control.min, max: control.max, step: control.step, value: control.get(), oninput: () => change(Number(range.value)) });
      const shown = html("output", {});
      controls.append(html("label", {}, label, range, shown));
      synced.push(() => {
        range.value = control.get();
        shown.textContent = control.says(control.get());
        range.setAttribute("aria-valuetext", shown.textContent);
      });
    }
  }

  function refresh() {
    const { markup, height } = figure.paint(width);
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    paint.innerHTML = markup;
    for (const { handle, element } of handles) {
      const [x, y] = handle.place();
      element.setAttribute("transform", `translate(${px(x)} ${px(y)})`);
      element.setAttribute("aria-valuenow", handle.get());
      element.setAttribute("aria-valuetext", handle.says(handle.get()));
    }
    for (const sync of synced) sync();
    says.textContent = figure.says();
  }

  // Moves by itself, a step a frame, until step() is false; at once for those who asked for less motion.
  function animate(step) {
    const mine = running;
    if (calm) { while (step()); return; }
    says.setAttribute("aria-busy", "true");
    const frame = () => {
      if (mine !== running) return says.removeAttribute("aria-busy");
      if (step()) requestAnimationFrame(frame);
      else says.removeAttribute("aria-busy");
      refresh();
    };
    requestAnimationFrame(frame);
  }

  root.dataset.live = "";
  root.replaceChildren(html("style", { textContent: STYLE }), svg, controls, says);
  new ResizeObserver(() => {
    const room = Math.round(Math.min(760, Math.max(280, root.clientWidth || 640)));
    if (room !== width) { width = room; refresh(); }
  }).observe(root);
  refresh();
  if (!calm) figure.start?.();
}
