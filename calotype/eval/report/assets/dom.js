"use strict";
// Text from the data is only ever set as text, never as markup.
const report = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const svgSpace = byId("seed").namespaceURI;
const codecs = new Map(report.codecs.map((codec) => [codec.label, codec]));
const metrics = new Map(report.metrics.map((metric) => [metric.name, metric]));
const unit = report.kind === "clip" ? "frame" : "picture";

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}
const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const sv = (tag, attributes, ...children) => fill(document.createElementNS(svgSpace, tag), attributes, children);

// ---- figures as text

const minus = (text) => text.replace("-", "\u2212");
const fixed = (value, digits) => (value === null || value === undefined ? "–" : minus(value.toFixed(digits)));
const signed = (value, digits) => (value === null || value === undefined ? "–" : (value >= 0 ? "+" : "") + minus(value.toFixed(digits)));
const percent = (value, digits = 1) => (value === null || value === undefined ? "–" : Math.abs(value) >= 1000 ? signed(value, 0) : signed(value, digits));

function short(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return minus(Number(value.toFixed(Math.min(digits, 6))).toLocaleString("en", { maximumFractionDigits: 6 }));
}
function big(value) {
  if (value === null || value === undefined) return "–";
  for (const [size, mark] of [[1e9, " G"], [1e6, " M"], [1e3, " k"]]) if (value >= size) return short(value / size) + mark;
  return short(value);
}
const bytes = (value) => (value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en") + " bytes");
const plainly = (text) => (text || "").replace(/^(BD-rate|rate|seconds): /, "");
const many = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

// ---- a codec's mark: colour, shape, hollow and dashed where it is published

const MARKS = ["M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z", "M-3.6 -3.6h7.2v7.2h-7.2z", "M0 -4.6L4.4 3.4H-4.4z", "M0 -5L5 0L0 5L-5 0z", "M0 4.6L4.4 -3.4H-4.4z"];
const colour = (codec) => `var(--c${codec.style % 8})`;
function mark(codec, scale = 1) {
  const hollow = codec.published;
  return sv("path", {
    d: MARKS[codec.style % MARKS.length], transform: `scale(${scale})`, fill: hollow ? "var(--paper)" : "currentColor",
    stroke: hollow ? "currentColor" : "var(--paper)", "stroke-width": hollow ? 1.5 : 0.8,
  });
}
function swatch(codec) {
  const line = sv("line", { x1: -12, x2: 12, y1: 0, y2: 0, stroke: "currentColor", "stroke-width": codec.ours ? 3 : 1.7, "stroke-dasharray": codec.published ? "4 3" : null });
  return sv("svg", { class: "swatch", width: 26, height: 12, viewBox: "-13 -6 26 12", style: `color:${colour(codec)}`, "aria-hidden": "true" }, line, mark(codec, 0.9));
}
const nameCell = (codec, extra) => el("th", { scope: "row" }, swatch(codec), codec.label, extra || null);

// ---- the small card beside the pointer

function showTip(x, y, title, lines) {
  const tip = byId("tip");
  tip.replaceChildren(el("b", {}, title), ...lines.map((line) => el("span", {}, line)));
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(6, x + 14 + box.width > innerWidth ? x - 14 - box.width : x + 14)}px`;
  tip.style.top = `${Math.max(6, Math.min(y + 12, innerHeight - box.height - 6))}px`;
}
const hideTip = () => { byId("tip").hidden = true; };

function segments(options, current, choose) {
  const buttons = options.map(([value, text]) => el("button", { type: "button", "aria-pressed": String(value === current), onclick: () => {
    for (const button of buttons) button.setAttribute("aria-pressed", String(button === buttons[options.findIndex((o) => o[0] === value)]));
    choose(value);
  } }, text));
  return el("span", { class: "segments", role: "group" }, ...buttons);
}
const picker = (options, current, choose) =>
  el("select", { onchange: (event) => choose(event.target.value) }, ...options.map(([value, text]) => el("option", { value, selected: value === current }, text)));
