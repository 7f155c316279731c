// Header, controls, and which part follows which control.

function header() {
  const measured = report.codecs.filter((codec) => !codec.published), names = report.dataset.names.join(", "), count = Object.keys(report.dataset.sources).length;
  const parts = [];
  if (count) parts.push(`${names ? names + ", " : ""}${many(count, report.kind)}`);
  if (measured.length) parts.push(`${many(measured.length, "codec")} measured`);
  if (report.codecs.length > measured.length) parts.push(many(report.codecs.length - measured.length, "published curve"));
  byId("subtitle").textContent = parts.join(" · ");
  const facts = [];
  const convention = (key, title) => { if (report.conventions[key]) facts.push([title, plainly(report.conventions[key])]); };
  convention("bd_rate", "BD-rate");
  convention("rate", "Rate");
  for (const metric of report.metrics) if (metric.convention || metric.scale) facts.push([metric.label, [metric.convention, metric.scale].filter(Boolean).join("; ")]);
  convention("timing", "Timing");
  const machines = new Set(report.runs.map(({ environment: e }) => [e.processor, e.cores && `${e.cores} cores`, e.threads && `${e.threads} threads`, e.device && `device ${e.device}`].filter(Boolean).join(", ")));
  if (machines.size) facts.push([machines.size > 1 ? "Machines" : "Machine", [...machines].join("; ")]);
  byId("conditions").append(...facts.flatMap(([name, text]) => [el("dt", {}, name), el("dd", {}, text)]));
  const details = report.command ? [el("h3", {}, "This page"), el("pre", {}, report.command)] : [];
  for (const run of report.runs) {
    const versions = Object.entries(run.environment).map(([key, value]) => `${key} ${value}`).join("\n");
    details.push(el("h3", {}, run.name), el("pre", {}, [...run.commands, "", versions].join("\n").trim()));
  }
  for (const codec of report.codecs) {
    const known = { ...codec.identity, ...codec.notes };
    details.push(el("h3", {}, codec.label), el("pre", {}, Object.entries(known).map(([key, value]) => `${key}: ${typeof value === "object" ? JSON.stringify(value) : value}`).join("\n") || "nothing is said of it"));
  }
  byId("more-conditions").append(el("details", {}, el("summary", {}, "Command lines, versions, identity of every codec"), ...details));
  const failures = report.failures.length, warnings = report.warnings.length;
  if (failures || warnings) byId("alert").append(el("div", { class: "alert" }, el("p", {}, [failures && many(failures, "failure"), warnings && many(warnings, "warning")].filter(Boolean).join(" and ") + ": ", el("a", { href: "#problems" }, "see below"), ".")));
  byId("foot").textContent = `Calotype ${report.version}`;
}
function lead() { // what the table says of our codecs, in a sentence
  const label = metrics.get(state.metric).label, said = [];
  for (const codec of report.codecs.filter((one) => one.ours && one.label !== state.anchor)) {
    const entry = entryOf(codec.label);
    if (!entry || "refused" in entry) continue;
    const span = entry.interval ? ` (95 % interval ${percent(entry.interval[0])} to ${percent(entry.interval[1])})` : "";
    said.push(`${codec.label} needs ${fixed(Math.abs(entry.rate), 1)} % ${entry.rate <= 0 ? "less" : "more"} rate than ${state.anchor} at equal ${label}${span}.`);
  }
  byId("lead").textContent = said.join(" ");
  byId("lead").hidden = !said.length;
}

const charts = {};
function curvesPart() {
  const options = report.metrics.map((metric) => [metric.name, metric.label]);
  const sources = [["", `average${Object.keys(report.dataset.sources).length ? ` of ${many(Object.keys(report.dataset.sources).length, "source")}` : ""}`], ...Object.keys(report.dataset.sources).map((name) => [name, name])];
  const tools = el("div", { class: "tools" },
    options.length > 1 && options.length <= 6 ? segments(options, state.metric, (name) => { state.metric = name; controls(); refresh(); }) : "",
    segments([[false, "Curves"], [true, "Rate against anchor"]], state.against, (on) => { state.against = on; curvesPart(); }),
    state.against ? "" : segments([[true, "log rate"], [false, "linear"]], state.log, (on) => { state.log = on; charts.rd.reset(); }),
    sources.length > 2 ? el("label", {}, "Source", picker(sources, state.source, (name) => { state.source = name; curvesPart(); })) : "",
    el("button", { type: "button", class: "quiet", onclick: () => charts.rd.reset() }, "Reset zoom"));
  const place = el("div");
  const chip = (codec) => el("button", { type: "button", class: "chip", "aria-pressed": String(!state.hidden.has(codec.label)), onclick: (event) => {
    state.hidden[state.hidden.has(codec.label) ? "delete" : "add"](codec.label);
    event.currentTarget.setAttribute("aria-pressed", String(!state.hidden.has(codec.label)));
    charts.rd.draw();
  } }, swatch(codec), codec.label);
  const groups = [["Measured", report.codecs.filter((c) => !c.published)], ["Published", report.codecs.filter((c) => c.published)]].filter(([, list]) => list.length);
  const legend = el("div", { class: "legend" }, ...groups.flatMap(([name, list], i) => [i ? el("span", { class: "break" }) : "", el("span", { class: "group" }, name), ...list.map(chip),
    list.length > 3 ? el("button", { type: "button", class: "chip quiet", onclick: () => {
      const hide = list.some((codec) => !state.hidden.has(codec.label));
      for (const codec of list) state.hidden[hide ? "add" : "delete"](codec.label);
      curvesPart();
    } }, list.some((codec) => !state.hidden.has(codec.label)) ? "hide all" : "show all") : ""]));
  const single = state.source ? `Of ${state.source} alone; published curves are averages and are not shown. ` : "";
  const against = state.against && !pchip(curvePoints(codecs.get(state.anchor))) ? `${state.anchor} has no such curve here. ` : "";
  put("rd", `${single}${against}Drag to zoom, double click to reset; click a name to hide its curve. Solid: measured here. Dashed and hollow: published.`, tools, place, legend);
  charts.rd = new Chart(place, rdOptions);
  charts.rd.draw();
}
function costPart() {
  const options = COSTS.filter(([key]) => report.codecs.some((codec) => costOf(codec, key))).map(([key, name]) => [key, name]);
  if (!options.length) return put("complexity");
  if (!options.some(([key]) => key === state.cost)) state.cost = options[0][0];
  const place = el("div");
  const lacking = report.codecs.filter((codec) => !costOf(codec, state.cost) || (codec.label !== state.anchor && !("rate" in (entryOf(codec.label) || {})))).map((codec) => codec.label);
  put("complexity", "Down and to the left is better." + (report.codecs.some((codec) => codec.parameters) ? " The area of a mark grows with the number of parameters, where there are any." : "") + (report.codecs.some((c) => c.published && c.timing.decode_ms) ? " Hollow: published, with times from another machine." : ""),
    el("div", { class: "tools" }, options.length > 1 ? segments(options, state.cost, (key) => { state.cost = key; costPart(); }) : "", el("button", { type: "button", class: "quiet", onclick: () => charts.cost.reset() }, "Reset zoom")),
    place, lacking.length ? el("p", { class: "note" }, `Without such a figure or a BD-rate: ${lacking.join(", ")}.`) : "");
  charts.cost = new Chart(place, costOptions);
  charts.cost.draw();
}
function controls() {
  byId("controls").replaceChildren(
    el("label", {}, "Anchor", picker(report.codecs.map((codec) => [codec.label, codec.label]), state.anchor, (label) => { state.anchor = label; refresh(); })),
    el("label", {}, "Metric", picker(report.metrics.map((metric) => [metric.name, metric.label]), state.metric, (name) => { state.metric = name; refresh(); })));
}
function refresh() {
  lead(); bdTable(); curvesPart(); costPart(); sourceTable(); cropsPart();
}
header(); controls(); refresh(); timingPart(); checksPart(); problemsPart();
addEventListener("resize", bdTable);
