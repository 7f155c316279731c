// The parts of the page. Each reads `state` (anchor, metric, ...) and fills its section.

const state = { anchor: report.anchor, metric: report.metric, source: "", log: true, against: false, hidden: new Set(), cost: "", sort: null, crop: 0, pair: null };
const entryOf = (test, anchor = state.anchor, metric = state.metric) => ((report.bd[metric] || {})[anchor] || {})[test];
const axisName = () => metrics.get(state.metric).axis;
const put = (id, caption, ...body) => {
  const section = byId(id);
  section.hidden = !body.length;
  const line = section.querySelector(".caption");
  if (line) { line.textContent = caption || ""; line.hidden = !caption; }
  section.querySelector(".body").replaceChildren(...body.flat());
};
const tone = (value) => (value === null || value === undefined || value > -0.05 ? "" : "good");

// ---- BD-rate table

function bdTable() {
  const others = report.metrics.filter((metric) => metric.name !== state.metric && Object.keys((report.bd[metric.name] || {})[state.anchor] || {}).length).slice(0, 5);
  const value = (codec) => { const entry = entryOf(codec.label); return entry && "rate" in entry ? entry.rate : codec.label === state.anchor ? 0 : Infinity; };
  const list = [...report.codecs].sort((a, b) => value(a) - value(b));
  const ends = list.map((codec) => entryOf(codec.label)).filter((entry) => entry && "rate" in entry).flatMap((entry) => [entry.rate, ...(entry.interval || [])]);
  const scale = forestScale(ends);
  const notes = [];
  const footnote = (text) => { let at = notes.indexOf(text); if (at < 0) at = notes.push(text) - 1; return at + 1; };
  const gain = metrics.get(state.metric).axis.endsWith("(dB)") ? "Gain, dB" : "Gain";
  const head = el("tr", {}, el("th", {}, "Codec"), el("th", { class: "forest" }, forestAxis(scale)), el("th", {}, "BD-rate, %"), el("th", {}, "95 % interval"),
    el("th", {}, gain), el("th", {}, "Akima"), el("th", {}, "Overlap"), el("th", { class: "wrap" }, "Averaged curve"),
    ...others.map((metric) => el("th", { class: "wrap" }, metric.label)));
  const rows = list.map((codec) => {
    const entry = entryOf(codec.label), name = nameCell(codec, codec.published ? el("span", { class: "tag" }, "published") : null);
    const rest = others.map((metric) => otherCell(codec, metric));
    const row = el("tr", { class: codec.ours ? "ours" : null }, name);
    if (codec.label === state.anchor) return fill(row, {}, [el("td", { class: "forest" }, forest(codec, { rate: 0 }, scale)), el("td", { class: "dim" }, "0"), el("td", { class: "dim" }, "anchor"), ...Array(4).fill(0).map(() => el("td")), ...rest]);
    if (!entry) return fill(row, {}, [el("td", { class: "reason", colspan: 7 }, `no ${metrics.get(state.metric).label} known`), ...rest]);
    if ("refused" in entry) return fill(row, {}, [el("td", { class: "reason", colspan: 7 }, `n/a: ${entry.refused}`), ...rest]);
    const warned = entry.warnings.filter((text) => text !== entry.overlap_warning);
    const marks = warned.length ? el("sup", {}, " " + warned.map((text) => footnote(`${codec.label}: ${text}`)).join(", ")) : null;
    const interval = entry.interval ? `${percent(entry.interval[0])} to ${percent(entry.interval[1])}` : "–";
    return fill(row, {}, [el("td", { class: "forest" }, forest(codec, entry, scale)), el("td", { class: `main ${tone(entry.rate)}` }, percent(entry.rate, 2), marks),
      el("td", {}, interval), el("td", {}, signed(entry.gain, 2)), el("td", { class: "dim" }, percent(entry.akima, 2)),
      el("td", { class: entry.overlap_warning ? "low" : "dim", title: entry.overlap_warning }, `${Math.round(100 * entry.share)} %`), el("td", { class: "dim" }, entry.basis === "sources" ? percent(entry.averaged, 2) : "this"), ...rest]);
  });
  const label = metrics.get(state.metric).label;
  const count = Math.max(0, ...report.codecs.map((codec) => (entryOf(codec.label) || {}).count || 0));
  put("bd", `Rate at equal ${label} relative to ${state.anchor}; less is better. ` +
    (count ? `Mean over ${many(count, "source")} with its bootstrap interval where both codecs were measured here. ` : "") + "Published curves are compared on averaged curves and have no interval.",
    el("div", { class: "scroll", tabindex: 0 }, el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows))),
    list.some((codec) => (entryOf(codec.label) || {}).overlap_warning) ? el("p", { class: "note" }, el("span", { class: "low" }, "Overlap in this colour"), " is below 75 % of the range of quality that either curve covers: the figure says nothing of the rest.") : "",
    notes.length ? el("ol", { class: "notes" }, ...notes.map((text) => el("li", {}, text))) : "");
}
function otherCell(codec, metric) {
  if (codec.label === state.anchor) return el("td", { class: "dim" }, "0");
  const entry = entryOf(codec.label, state.anchor, metric.name);
  if (!entry) return el("td", { class: "dim" }, "–");
  if ("refused" in entry) return el("td", { class: "dim", title: entry.refused }, "n/a");
  return el("td", { class: tone(entry.rate), title: [`${entry.basis === "sources" ? many(entry.count, "source") : "averaged curves"}`, ...entry.warnings].join("; ") }, percent(entry.rate));
}
// The axis is the logarithm of the rate's ratio, on which half and double are equally far from 0.
function forestScale(values) {
  const logs = [0, ...values].map((value) => Math.log1p(Math.max(value, -95) / 100));
  const low = Math.min(...logs, -0.1), high = Math.max(...logs, 0.1), width = innerWidth <= 640 ? 110 : 160;
  return { width, low, high, at: (value) => 8 + ((Math.log1p(Math.max(value, -95) / 100) - low) / (high - low)) * (width - 16) };
}
function forestAxis(scale) {
  const svg = sv("svg", { width: scale.width, height: 16, "aria-hidden": "true" });
  let last = -99;
  for (const tick of [-75, -50, -30, -20, -10, 0, 10, 25, 50, 100, 200, 400, 800]) {
    const x = scale.at(tick), log = Math.log1p(tick / 100);
    if (log < scale.low - 0.01 || log > scale.high + 0.01 || (tick !== 0 && (x - last < 34 || Math.abs(x - scale.at(0)) < 34))) continue;
    last = x;
    svg.append(sv("text", { x: Math.min(Math.max(x, 12), scale.width - 12), y: 11, "text-anchor": "middle", "font-size": 10.5, fill: "currentColor" }, tick === 0 ? "0" : percent(tick, 0)));
  }
  return svg;
}
function forest(codec, entry, scale) {
  const x = scale.at(entry.rate), zero = scale.at(0), middle = 15;
  const svg = sv("svg", { width: scale.width, height: 30, style: `color:${colour(codec)}`, "aria-hidden": "true" },
    sv("line", { x1: zero, x2: zero, y1: 0, y2: 30, stroke: "var(--rule)", "stroke-width": 1 }));
  if (codec.label !== state.anchor) svg.append(sv("line", { x1: zero, x2: x, y1: middle, y2: middle, stroke: "currentColor", "stroke-width": 1, opacity: 0.35 }));
  if (entry.interval) svg.append(sv("line", { x1: scale.at(entry.interval[0]), x2: scale.at(entry.interval[1]), y1: middle, y2: middle, stroke: "currentColor", "stroke-width": codec.ours ? 5 : 4, "stroke-opacity": 0.55 }));
  svg.append(sv("g", { transform: `translate(${x} ${middle})` }, mark(codec, codec.ours ? 1.15 : 0.95)));
  return svg;
}

// ---- curves

function pointTip(point, value) {
  const lines = [`${metrics.get(state.metric).axis}: ${fixed(value, 3)}`, `${short(point.bpp)} bits per pixel${report.kind === "clip" ? " and frame" : ""}`];
  if (point.bytes) lines.push(`${bytes(point.bytes)}${point.kbps ? `, ${short(point.kbps)} kbit/s` : ""}`);
  if (point.point !== null && point.point !== undefined) lines.push(`setting ${point.point}`);
  return lines;
}
function curvePoints(codec) {
  const metric = state.metric;
  if (state.source && !codec.published)
    return ((report.rows[codec.label] || {})[state.source] || []).filter((row) => metric in row).map((row) => ({ x: row.bpp, y: row[metric], tip: pointTip(row, row[metric]) }));
  if (state.source) return [];
  return codec.points.filter((point) => metric in point.values).map((point) => ({ x: point.bpp, y: point.values[metric], tip: pointTip(point, point.values[metric]) })).sort((a, b) => a.x - b.x);
}
function range(values, margin) {
  if (!values.length) return [0, 1];
  const low = Math.min(...values), high = Math.max(...values), room = (high - low || Math.abs(high) || 1) * margin;
  return [low - room, high + room];
}
const ratioRange = (values, margin) => range(values.map((v) => Math.log1p(Math.max(v, -99) / 100)), margin).map((v) => 100 * Math.expm1(v));
const shown = () => report.codecs.filter((codec) => !state.hidden.has(codec.label));
function rdOptions() {
  if (state.against) return againstOptions();
  const series = shown().map((codec) => ({ codec, points: curvePoints(codec) })).filter((one) => one.points.length);
  const measured = series.filter((one) => !one.codec.published), lead = (measured.length ? measured : series).flatMap((one) => one.points);
  const xs = lead.map((p) => p.x), home = { x: state.log ? range(xs.map(Math.log), 0.03).map(Math.exp) : [0, range(xs, 0.03)[1]], y: [0, 1] };
  if (!xs.length) home.x = [0.1, 1];
  const seen = series.flatMap((one) => one.points).filter((p) => p.x >= home.x[0] && p.x <= home.x[1]);
  if (seen.length) home.y = range(seen.map((p) => p.y), 0.05);
  return { series, home, log: state.log, lines: true, xName: `bits per pixel${report.kind === "clip" ? " and frame" : ""}`, yName: axisName() };
}
function againstOptions() { // rate against the anchor at each quality: what BD-rate is the mean of (in logarithms)
  const base = pchip(curvePoints(codecs.get(state.anchor)));
  const series = [];
  for (const codec of base ? shown() : []) {
    const own = curvePoints(codec), line = pchip(own);
    if (!line) continue;
    const low = Math.max(base.low, line.low), high = Math.min(base.high, line.high);
    if (low >= high) continue;
    const at = (q) => 100 * Math.expm1(line.at(q) - base.at(q));
    const points = Array.from({ length: 61 }, (_, i) => low + ((high - low) * i) / 60).map((q) => ({ x: q, y: at(q), tip: null }));
    for (const p of own) if (p.y >= low && p.y <= high) points.push({ x: p.y, y: at(p.y), tip: [`${percent(at(p.y))} % rate against ${state.anchor}`, ...p.tip] });
    series.push({ codec, points: points.sort((a, b) => a.x - b.x) });
  }
  const all = series.flatMap((one) => one.points);
  const y = ratioRange(all.map((p) => p.y), 0.06);
  return { series, home: { x: range(all.map((p) => p.x), 0.01), y: [Math.max(y[0], -90), y[1]] }, log: false, lines: true, zero: true, ratio: true, xName: axisName(), yName: `rate against ${state.anchor}, %` };
}
// Fritsch and Carlson's monotone cubic of log-rate over quality, as SciPy's PchipInterpolator has it; null where the curve is refused
function pchip(points) {
  const list = [...points].sort((a, b) => a.x - b.x), x = list.map((p) => p.y), y = list.map((p) => Math.log(p.x)), n = x.length;
  if (n < 4) return null;
  const h = [], d = [], m = [];
  for (let i = 0; i + 1 < n; i++) { h.push(x[i + 1] - x[i]); if (h[i] <= 0) return null; d.push((y[i + 1] - y[i]) / h[i]); }
  const end = (h0, h1, d0, d1) => { let s = ((2 * h0 + h1) * d0 - h0 * d1) / (h0 + h1); if (Math.sign(s) !== Math.sign(d0)) s = 0; else if (Math.sign(d0) !== Math.sign(d1) && Math.abs(s) > 3 * Math.abs(d0)) s = 3 * d0; return s; };
  m.push(end(h[0], h[1], d[0], d[1]));
  for (let i = 1; i + 1 < n; i++) { const a = 2 * h[i] + h[i - 1], b = h[i] + 2 * h[i - 1]; m.push(d[i - 1] * d[i] <= 0 ? 0 : (a + b) / (a / d[i - 1] + b / d[i])); }
  m.push(end(h[n - 2], h[n - 3], d[n - 2], d[n - 3]));
  return { low: x[0], high: x[n - 1], at: (q) => {
    let i = 0;
    while (i < n - 2 && q > x[i + 1]) i++;
    const t = (q - x[i]) / h[i];
    return (1 + 2 * t) * (1 - t) ** 2 * y[i] + t * (1 - t) ** 2 * h[i] * m[i] + t * t * (3 - 2 * t) * y[i + 1] + t * t * (t - 1) * h[i] * m[i + 1];
  } };
}

// ---- complexity

const COSTS = [["decode_ms", "decoding", () => `decoding, ms per ${unit}`], ["encode_ms", "encoding", () => `encoding, ms per ${unit}`], ["kmac_per_pixel", "kMAC per pixel", () => "kMAC per pixel"]];
const costOf = (codec, cost) => (cost === "kmac_per_pixel" ? codec.kmac_per_pixel : codec.timing[cost]);
function costOptions() {
  const series = [];
  for (const codec of report.codecs) {
    const x = costOf(codec, state.cost), entry = entryOf(codec.label), y = codec.label === state.anchor ? 0 : entry && entry.rate;
    if (!x || y === undefined || y === null) continue;
    const tip = [`BD-rate ${percent(y)} %`, `${short(x)} ${state.cost === "kmac_per_pixel" ? "kMAC per pixel" : `ms per ${unit}`}`];
    if (codec.parameters) tip.push(`${big(codec.parameters)} parameters`);
    if (codec.published && state.cost !== "kmac_per_pixel") tip.push("time published, on another machine");
    series.push({ codec, points: [{ x, y, tip, size: codec.parameters ? Math.min(3.2, 0.8 + Math.sqrt(codec.parameters / 4e6)) : 1.1 }] });
  }
  const all = series.map((one) => one.points[0]);
  const ys = ratioRange(all.map((p) => p.y), 0.12), xs = all.length ? range(all.map((p) => Math.log(p.x)), 0.12).map(Math.exp) : [1, 10];
  return { series, home: { x: all.length === 1 ? [xs[0] / 2, xs[1] * 2] : xs, y: ys }, log: true, lines: false, zero: true, ratio: true, xName: COSTS.find(([key]) => key === state.cost)[2](), yName: `BD-rate against ${state.anchor}, %` };
}

// ---- source by source

function sourceTable() {
  const measured = report.codecs.filter((codec) => !codec.published && report.rows[codec.label]);
  const names = Object.keys(report.dataset.sources);
  if (!measured.length || !names.length) return put("sources");
  const base = codecs.get(state.anchor).published ? measured.find((codec) => !codec.ours) || measured[0] : codecs.get(state.anchor);
  const columns = measured.filter((codec) => codec !== base);
  if (!columns.length) return put("sources");
  const refused = [];
  const cell = (codec, source) => { const entry = entryOf(codec.label, base.label); return entry && entry.per_source && source in entry.per_source ? entry.per_source[source] : null; };
  for (const codec of columns) for (const [source, why] of Object.entries((entryOf(codec.label, base.label) || {}).left_out || {})) refused.push(`${codec.label}, ${source}: ${why}`);
  const sort = state.sort || { key: "", up: true };
  const ordered = [...names].sort((a, b) => {
    if (!sort.key) return (sort.up ? 1 : -1) * a.localeCompare(b, "en", { numeric: true });
    const [x, y] = [a, b].map((source) => cell(codecs.get(sort.key), source));
    return x === null ? 1 : y === null ? -1 : (sort.up ? 1 : -1) * (x - y);
  });
  const header = (key, content) => el("th", { "aria-sort": sort.key === key ? (sort.up ? "ascending" : "descending") : null },
    el("button", { type: "button", class: "sort", onclick: () => { state.sort = { key, up: sort.key === key ? !sort.up : true }; sourceTable(); } }, content));
  const size = (facts) => `${facts.width}×${facts.height}` + (facts.frames > 1 ? `, ${facts.frames} frames` : "");
  const rows = ordered.map((source) => el("tr", {},
    el("th", { scope: "row" }, el("button", { type: "button", class: "link", title: "show its curves", onclick: () => { state.source = source; state.against = false; curvesPart(); byId("rd").scrollIntoView({ behavior: "smooth" }); } }, source)),
    el("td", { class: "dim" }, size(report.dataset.sources[source])),
    ...columns.map((codec) => { const value = cell(codec, source); return el("td", { style: value === null ? null : tint(value) }, value === null ? el("span", { class: "dim" }, "n/a") : percent(value)); })));
  const mean = el("tr", {}, el("th", { scope: "row" }, "Mean"), el("td"), ...columns.map((codec) => el("td", {}, percent((entryOf(codec.label, base.label) || {}).rate))));
  put("sources", `BD-rate in percent against ${base.label} at equal ${metrics.get(state.metric).label}` + (base.label === state.anchor ? "" : ` (${state.anchor} is a published average and has no figures by source)`) + ". Click a heading to sort, a name to see its curves.",
    el("div", { class: "scroll", tabindex: 0 }, el("table", {}, el("thead", {}, el("tr", {}, header("", "Source"), el("th", {}, "Size"), ...columns.map((codec) => header(codec.label, codec.label)))), el("tbody", {}, ...rows), el("tfoot", {}, mean))),
    refused.length ? el("details", {}, el("summary", {}, `Why ${many(refused.length, "figure")} cannot be had`), el("ul", { class: "plain" }, ...refused.slice(0, 200).map((text) => el("li", {}, text)))) : "");
}
const tint = (value) => `background: color-mix(in srgb, var(--${value < 0 ? "good" : "bad"}) ${Math.round(Math.min(34, 34 * Math.abs(Math.log1p(Math.max(value, -95) / 100)) / 0.7))}%, transparent)`;

// ---- crops

function cropsPart() {
  if (!report.crops.length) return put("crops");
  const crop = report.crops[state.crop], items = crop.items;
  const coded = items.map((item, i) => i).filter((i) => items[i].bytes), ours = coded.filter((i) => (codecs.get(items[i].codec) || {}).ours);
  const rest = coded.filter((i) => !ours.includes(i)), usual = ours.length && rest.length ? [rest[rest.length - 1], ours[0]] : [0, Math.min(1, items.length - 1)];
  const pair = (state.pair || usual).map((i) => Math.min(i, items.length - 1));
  const facts = (item) => (item.bytes ? `${bytes(item.bytes)}, ${short(item.bpp)} bpp` : "not coded");
  const quality = (item) => (item.metrics && item.metrics[state.metric] !== undefined ? `${metrics.get(state.metric).label} ${fixed(item.metrics[state.metric], item.metrics[state.metric] < 2 ? 4 : 2)}` : "");
  const [a, b] = pair.map((i) => items[i]);
  const over = el("img", { class: "over", src: b.image, alt: "" }), bar = el("span", { class: "bar" });
  const slider = el("input", { type: "range", min: 0, max: 100, value: 50, "aria-label": `${a.codec} on the left, ${b.codec} on the right` });
  const move = (share) => { slider.value = 100 * share; over.style.clipPath = `inset(0 0 0 ${100 * share}%)`; bar.style.left = `${100 * share}%`; };
  slider.addEventListener("input", () => move(slider.value / 100));
  const box = el("div", { class: "pair", style: `width:${2 * crop.width}px` }, el("img", { src: a.image, alt: `${crop.source}, ${a.codec}` }), over, bar, el("span", { class: "side a" }, a.codec), el("span", { class: "side b" }, b.codec));
  const follow = (event) => { const r = box.getBoundingClientRect(); move(Math.min(1, Math.max(0, (event.clientX - r.left) / r.width))); };
  box.addEventListener("pointerdown", follow);
  box.addEventListener("pointermove", (event) => { if (event.pointerType === "mouse" || event.buttons) follow(event); });
  move(0.5);
  const names = items.map((item, i) => [String(i), item.codec]);
  const tools = el("div", { class: "tools" },
    el("label", {}, "Source", picker(report.crops.map((one, i) => [String(i), one.source]), String(state.crop), (i) => { state.crop = Number(i); cropsPart(); })),
    el("label", {}, "Left", picker(names, String(pair[0]), (i) => { state.pair = [Number(i), pair[1]]; cropsPart(); })),
    el("label", {}, "Right", picker(names, String(pair[1]), (i) => { state.pair = [pair[0], Number(i)]; cropsPart(); })));
  const thumbs = items.map((item) => el("figure", {}, el("img", { src: item.image, alt: `${crop.source}, ${item.codec}`, loading: "lazy" }),
    el("figcaption", {}, el("b", {}, item.codec), facts(item), item.far ? el("span", { class: "bad" }, " (not near)") : "", el("br"), quality(item))));
  put("crops", `Each codec's kept picture nearest to ${bytes(crop.target)}; “not near” is more than 10 % off. The window of ${crop.width}×${crop.height} is where the pictures differ most from each other; figures are of the whole ${unit}.`,
    tools, el("div", { class: "pair-wrap", style: `max-width:${2 * crop.width}px` }, box, slider), el("div", { class: "thumbs" }, ...thumbs));
}

// ---- time, memory, checks

function timingPart() {
  const list = report.codecs.filter((codec) => Object.keys(codec.timing).length);
  if (!list.length) return put("timing");
  const any = (key) => list.some((codec) => codec.timing[key] !== undefined);
  const columns = [];
  for (const verb of ["encode", "decode"]) for (const [part, name] of [["", ""], ["_network", " network"], ["_entropy", " entropy"]])
    if (any(`${verb}_ms${part}`)) columns.push([`${verb === "encode" ? "Encode" : "Decode"}${name}, ms`, (codec) => short(codec.timing[`${verb}_ms${part}`]), part ? "dim" : ""]);
  if (any("decode_mpx")) columns.push(["Decode, Mpx/s", (codec) => short(codec.timing.decode_mpx)]);
  if (any("peak_memory")) columns.push(["Peak memory, MiB", (codec) => (codec.timing.peak_memory ? Math.round(codec.timing.peak_memory / 2 ** 20).toLocaleString("en") : "–")]);
  if (list.some((codec) => codec.parameters)) columns.push(["Parameters", (codec) => big(codec.parameters)]);
  if (list.some((codec) => codec.kmac_per_pixel)) columns.push(["kMAC per pixel", (codec) => short(codec.kmac_per_pixel)]);
  if (any("threads")) columns.push(["Threads", (codec) => codec.timing.threads || "–"]);
  if (any("device")) columns.push(["Device", (codec) => codec.timing.device || "–"]);
  const rows = list.map((codec) => el("tr", { class: codec.ours ? "ours" : null }, nameCell(codec, codec.published ? el("span", { class: "tag" }, "published") : null), ...columns.map(([, value, kind]) => el("td", { class: kind }, value(codec)))));
  put("timing", `Mean over all points and sources, per ${unit}. ` + (list.some((codec) => codec.published) ? "Published times are from other machines and cannot be compared with the rest. " : "") + (report.conventions.timing ? `Timed: ${plainly(report.conventions.timing)}.` : ""),
    el("div", { class: "scroll", tabindex: 0 }, el("table", {}, el("thead", {}, el("tr", {}, el("th", {}, "Codec"), ...columns.map(([name]) => el("th", { class: "wrap" }, name)))), el("tbody", {}, ...rows))));
}
function checksPart() {
  const list = report.codecs.filter((codec) => codec.checks && (codec.checks.estimated || codec.checks.compared || codec.checks.repeated));
  if (!list.length) return put("checks");
  const rows = list.map((codec) => {
    const c = codec.checks;
    return el("tr", { class: codec.ours ? "ours" : null }, nameCell(codec), el("td", {}, String(c.rows)), el("td", {}, c.estimated ? `${signed(c.over_percent, 2)} %, ${signed(c.over_bytes, 0)} bytes` : "–"),
      el("td", { class: c.outside ? "flag" : "" }, c.estimated ? String(c.outside) : "–"), el("td", { class: c.differing_pixels ? "flag" : "" }, c.compared ? `${c.differing_pixels} in ${many(c.compared, "file")}` : "–"),
      el("td", { class: c.unrepeatable ? "flag" : "" }, c.repeated ? `${c.unrepeatable} of ${c.repeated}` : "–"));
  });
  put("checks", "Real bytes against the estimated rate (the largest excess of any file), the encoder’s picture against the decoder’s, and one encoding against a second.",
    el("div", { class: "scroll", tabindex: 0 }, el("table", {}, el("thead", {}, el("tr", {}, el("th", {}, "Codec"), el("th", { class: "wrap" }, "Files"), el("th", {}, "Real − estimated, at most"),
      el("th", { class: "wrap" }, "Beyond both 1 % and 64 bytes"), el("th", {}, "Differing pixels"), el("th", { class: "wrap" }, "Second encoding differs"))), el("tbody", {}, ...rows))));
}
function problemsPart() {
  const body = [];
  if (report.failures.length) body.push(el("h3", {}, many(report.failures.length, "failure")), el("ul", { class: "plain" }, ...report.failures.map((failure) =>
    el("li", {}, [failure.codec, failure.source, failure.point === undefined || failure.point === null ? null : `at ${failure.point}`].filter(Boolean).join(", "), ": ", String(failure.error)))));
  if (report.warnings.length) body.push(el("h3", {}, many(report.warnings.length, "warning")), el("ul", { class: "plain" }, ...report.warnings.map((text) => el("li", {}, text))));
  const gone = Object.entries(report.unavailable);
  if (gone.length) body.push(el("h3", {}, "Metrics that could not be measured"), el("ul", { class: "plain" }, ...gone.map(([name, why]) => el("li", {}, `${name}: ${why}`))));
  put("problems", "", ...body);
}
