// An x-y chart: lines or single marks, drag to zoom, double click to reset, the nearest point told at the pointer.

const niceStep = (span, count) => {
  const scale = 10 ** Math.floor(Math.log10(span / count));
  return [1, 2, 5, 10].map((factor) => factor * scale).find((step) => span / step <= count) || 10 * scale;
};
function linearTicks(low, high, count) {
  const step = niceStep(high - low, count);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high * (1 + 1e-12) + 1e-12; i++) ticks.push(Number((i * step).toPrecision(12)));
  return ticks;
}
function logTicks(low, high, count) {
  if (high / low < 3) return linearTicks(low, high, count).filter((tick) => tick > 0);
  let best = [];
  for (const factors of [[1], [1, 3], [1, 2, 5], [1, 2, 3, 4, 5, 6, 7, 8, 9]]) {
    const ticks = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
      for (const factor of factors) if (factor * 10 ** power >= low && factor * 10 ** power <= high) ticks.push(factor * 10 ** power);
    if (best.length && ticks.length > count) break;
    best = ticks;
  }
  return best;
}
function spread(wanted, gap, low, high) {
  gap = Math.min(gap, (high - low) / Math.max(1, wanted.length - 1));
  const found = [];
  wanted.forEach((value, i) => found.push(Math.max(value, i ? found[i - 1] + gap : low)));
  for (let i = found.length - 1; i >= 0; i--) found[i] = Math.min(found[i], i + 1 < found.length ? found[i + 1] - gap : high);
  return found;
}

const RATIO_TICKS = [-90, -75, -50, -30, -20, -10, 0, 10, 25, 50, 100, 200, 400, 800, 1600];

class Chart {
  // options(): {series: [{codec, points: [{x, y, size?, tip: [lines]}]}], home: {x: [low, high], y: [low, high]}, log, xName, yName, zero, lines}
  constructor(place, options) {
    this.options = options;
    this.zoom = null;
    this.box = el("div", { class: "chart zooming" });
    place.append(this.box);
    this.width = 0;
    new ResizeObserver(() => { if (Math.abs(this.box.clientWidth - this.width) > 1) this.draw(); }).observe(this.box);
  }
  reset() { this.zoom = null; this.draw(); }
  draw() {
    const o = (this.now = this.options());
    this.width = this.box.clientWidth || 800;
    const narrow = this.width < 620;
    this.height = narrow ? 340 : 470;
    this.frame = { left: 50, right: this.width - (narrow || !o.lines ? 14 : 178), top: 30, bottom: this.height - 42 };
    const view = this.zoom || o.home;
    const tx = o.log ? Math.log : (v) => v, f = this.frame;
    this.toX = (v) => f.left + ((tx(v) - tx(view.x[0])) / (tx(view.x[1]) - tx(view.x[0]))) * (f.right - f.left);
    const ty = o.ratio ? (v) => Math.log1p(v / 100) : (v) => v; // percent of rate: half and double are equally far from 0
    this.toY = (v) => f.bottom - ((ty(v) - ty(view.y[0])) / (ty(view.y[1]) - ty(view.y[0]))) * (f.bottom - f.top);
    const back = (x) => { const part = (x - f.left) / (f.right - f.left); return o.log ? Math.exp(tx(view.x[0]) + part * (tx(view.x[1]) - tx(view.x[0]))) : view.x[0] + part * (view.x[1] - view.x[0]); };
    this.fromX = back;
    this.fromY = (y) => { const at = ty(view.y[0]) + ((f.bottom - y) / (f.bottom - f.top)) * (ty(view.y[1]) - ty(view.y[0])); return o.ratio ? 100 * Math.expm1(at) : at; };
    this.svg = sv("svg", { viewBox: `0 0 ${this.width} ${this.height}`, height: this.height, role: "img", "aria-label": `${o.yName} over ${o.xName}` });
    this.axes(view, narrow);
    const clip = `clip${Math.random().toString(36).slice(2)}`;
    this.svg.append(sv("clipPath", { id: clip }, sv("rect", { x: f.left - 6, y: f.top - 6, width: f.right - f.left + 12, height: f.bottom - f.top + 12 })));
    const all = sv("g", { "clip-path": `url(#${clip})` });
    this.curves = new Map();
    this.spots = [];
    for (const one of [...o.series].sort((a, b) => (a.codec.ours - b.codec.ours) || (b.codec.published - a.codec.published))) all.append(this.curve(one, o));
    this.svg.append(all);
    this.svg.append(...(o.lines ? (narrow ? [] : this.endLabels(o)) : this.sideLabels(o)));
    if (!o.series.some((one) => one.points.length)) this.svg.append(sv("text", { x: (f.left + f.right) / 2, y: (f.top + f.bottom) / 2, "text-anchor": "middle" }, "nothing to show"));
    this.listen(view);
    this.box.replaceChildren(this.svg);
  }
  axes(view, narrow) {
    const f = this.frame, o = this.now;
    let lastY = 9999;
    for (const tick of o.ratio && view.y[1] - view.y[0] > 80 ? RATIO_TICKS : linearTicks(view.y[0], view.y[1], narrow ? 5 : 7)) {
      const y = this.toY(tick);
      if (tick < view.y[0] || tick > view.y[1] || (o.ratio && tick !== 0 && (lastY - y < 20 || Math.abs(y - this.toY(0)) < 20))) continue;
      lastY = y;
      this.svg.append(sv("line", { class: o.zero && tick === 0 ? "zero" : "grid", x1: f.left, x2: f.right, y1: y, y2: y }));
      this.svg.append(sv("text", { x: f.left - 7, y: y + 4, "text-anchor": "end" }, minus(String(Number(tick.toPrecision(6))))));
    }
    const ticks = o.log ? logTicks(view.x[0], view.x[1], narrow ? 5 : 10) : linearTicks(view.x[0], view.x[1], narrow ? 5 : 9);
    let last = -99;
    for (const tick of ticks) {
      const x = this.toX(tick);
      this.svg.append(sv("line", { class: "grid", x1: x, x2: x, y1: f.top, y2: f.bottom }));
      if (x - last < 30) continue;
      last = x;
      this.svg.append(sv("text", { x, y: f.bottom + 17, "text-anchor": "middle" }, Number(tick.toPrecision(4)).toLocaleString("en", { maximumFractionDigits: 6 })));
    }
    this.svg.append(sv("text", { x: 4, y: 14 }, o.yName), sv("text", { x: f.right, y: this.height - 6, "text-anchor": "end" }, o.xName));
  }
  curve({ codec, points }, o) {
    const kind = codec.ours ? " ours" : codec.published ? " published" : "";
    const group = sv("g", { style: `color:${colour(codec)}` });
    if (o.lines && points.length > 1) group.append(sv("polyline", { class: `line${kind}`, points: points.map((p) => `${this.toX(p.x)},${this.toY(p.y)}`).join(" ") }));
    for (const point of points) {
      const x = this.toX(point.x), y = this.toY(point.y);
      if (o.lines && point.tip === null) continue;
      const f = this.frame;
      if (x >= f.left - 1 && x <= f.right + 1 && y >= f.top - 1 && y <= f.bottom + 1) this.spots.push({ x, y, codec, point });
      group.append(sv("g", { transform: `translate(${x} ${y})` }, mark(codec, point.size || (codec.ours ? 1.1 : codec.published ? 0.75 : 0.9))));
    }
    this.curves.set(codec.label, group);
    return group;
  }
  endLabels(o) {
    const f = this.frame, ends = [];
    for (const { codec, points } of o.series) {
      const end = this.lastSeen(points.map((p) => [this.toX(p.x), this.toY(p.y)]));
      if (end) ends.push({ codec, end });
    }
    ends.sort((a, b) => Math.round(a.end[1] - b.end[1]) || a.end[0] - b.end[0]);
    const ys = spread(ends.map(({ end }) => end[1]), 15, f.top - 8, f.bottom), left = f.right + 18;
    return ends.map(({ codec, end }, i) => sv("g", { style: `color:${colour(codec)}`, "data-codec": codec.label },
      sv("line", { class: "leader", x1: end[0] + 5, y1: end[1], x2: left - 4, y2: ys[i] }),
      sv("text", { class: `name${codec.ours ? " ours" : ""}`, x: left, y: ys[i] + 4 }, codec.label.length > 24 ? codec.label.slice(0, 23) + "…" : codec.label)));
  }
  lastSeen(at) { // where a line is last inside the frame, going right
    const f = this.frame, inside = ([x, y]) => x >= f.left - 0.5 && x <= f.right + 0.5 && y >= f.top - 0.5 && y <= f.bottom + 0.5;
    for (let i = at.length - 1; i >= 0; i--) {
      if (inside(at[i])) {
        if (i === at.length - 1) return at[i];
        const [a, b] = [at[i], at[i + 1]];
        let part = 1;
        for (const [p, q, low, high] of [[a[0], b[0], f.left, f.right], [a[1], b[1], f.top, f.bottom]]) {
          if (q > high) part = Math.min(part, (high - p) / (q - p));
          if (q < low) part = Math.min(part, (low - p) / (q - p));
        }
        return [a[0] + part * (b[0] - a[0]), a[1] + part * (b[1] - a[1])];
      }
    }
    return null;
  }
  sideLabels(o) { // of single marks: right, left, above or below, whichever is free
    const f = this.frame, taken = this.spots.map((s) => [s.x - 7, s.y - 7, s.x + 7, s.y + 7]);
    const free = (box) => box[0] >= f.left && box[2] <= this.width - 2 && box[1] >= 2 && box[3] <= f.bottom + 2 && !taken.some((t) => box[0] < t[2] && box[2] > t[0] && box[1] < t[3] && box[3] > t[1]);
    const found = [];
    for (const { x, y, codec, point } of [...this.spots].sort((a, b) => (b.codec.ours - a.codec.ours) || a.y - b.y)) {
      const w = codec.label.length * 7.4, r = 5 * (point.size || 1) + 4;
      const tries = [[x + r, y - 7, 0], [x - r - w, y - 7, 1], [x - w / 2, y - r - 14, 0.5], [x - w / 2, y + r, 0.5], [x + r, y - 20, 0], [x + r, y + 6, 0], [x - r - w, y - 20, 1], [x - r - w, y + 6, 1]];
      const at = tries.find(([bx, by]) => free([bx, by, bx + w, by + 14]));
      if (!at) continue;
      taken.push([at[0], at[1], at[0] + w, at[1] + 14]);
      found.push(sv("text", { class: `name${codec.ours ? " ours" : ""}`, style: `color:${colour(codec)}`, x: at[0] + at[2] * w, y: at[1] + 11, "text-anchor": ["start", "middle", "end"][2 * at[2]] }, codec.label));
    }
    return found;
  }
  listen(view) {
    const f = this.frame, svg = this.svg;
    let start = null, brush = null;
    const where = (event) => { const b = svg.getBoundingClientRect(); return [event.clientX - b.left, event.clientY - b.top]; };
    const held = (x, low, high) => Math.min(Math.max(x, low), high);
    svg.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      start = where(event);
      if (event.pointerType === "mouse") svg.setPointerCapture(event.pointerId);
    });
    svg.addEventListener("pointermove", (event) => {
      const [x, y] = where(event);
      if (start && Math.hypot(x - start[0], y - start[1]) > 6) {
        if (!brush) svg.append((brush = sv("rect", { class: "brush" })));
        const [x0, x1] = [start[0], x].map((v) => held(v, f.left, f.right)).sort((a, b) => a - b);
        const [y0, y1] = [start[1], y].map((v) => held(v, f.top, f.bottom)).sort((a, b) => a - b);
        fill(brush, { x: x0, y: y0, width: x1 - x0, height: y1 - y0 }, []);
        hideTip();
      } else this.tell(x, y, event);
    });
    svg.addEventListener("pointerup", (event) => {
      const [x, y] = where(event), from = start;
      start = null;
      if (!brush) return this.tell(x, y, event);
      brush.remove();
      brush = null;
      const [x0, x1] = [from[0], x].map((v) => held(v, f.left, f.right)).sort((a, b) => a - b);
      const [y0, y1] = [from[1], y].map((v) => held(v, f.top, f.bottom)).sort((a, b) => a - b);
      if (x1 - x0 < 8 && y1 - y0 < 8) return;
      this.zoom = { x: x1 - x0 < 8 ? view.x : [this.fromX(x0), this.fromX(x1)], y: y1 - y0 < 8 ? view.y : [this.fromY(y1), this.fromY(y0)] };
      this.draw();
    });
    const stop = () => { start = null; if (brush) brush.remove(); brush = null; };
    svg.addEventListener("pointercancel", stop);
    svg.addEventListener("dblclick", () => this.reset());
    svg.addEventListener("pointerleave", () => { hideTip(); this.fade(null); });
  }
  tell(x, y, event) {
    let best = null, nearest = 28;
    for (const spot of this.spots) {
      const distance = Math.hypot(spot.x - x, spot.y - y);
      if (distance < nearest) [nearest, best] = [distance, spot];
    }
    this.fade(best ? best.codec.label : null);
    if (best) showTip(event.clientX, event.clientY, best.codec.label, best.point.tip || []);
    else hideTip();
  }
  fade(label) {
    if (!this.now.lines) return;
    for (const [name, group] of this.curves) group.classList.toggle("dim-curve", label !== null && name !== label);
    for (const group of this.svg.querySelectorAll("[data-codec]")) group.classList.toggle("dim-curve", label !== null && group.dataset.codec !== label);
  }
}
