/**
 * What became of everybody who was read, drawn as a stream from which every loss branches off.
 *
 * The drawing is for the eye; its labels are a list that says the same.
 */

import { h, svg } from "./elements.js";
import { number, t } from "./language.js";
import { EXPECTED, LOSSES, REFUSALS } from "./outcome.js";

const THICKNESS = 128; // of the stream at its source, in px
const THINNEST = 2.5;
const ABOVE = 62; // room for the labels of the stream itself
const DROP = 46; // how far a branch goes
const NARROWEST = 96; // between branches, so that their labels have room
const STEP = 56; // the same where the stream runs downwards

/** Return the drawing of a run's counts; it follows the width it is given. */
export function flow(run) {
  const box = h("div", { class: "flow" });
  new ResizeObserver(() => draw(box, run)).observe(box);
  return box;
}

function draw(box, { counts, state }) {
  const width = box.clientWidth;
  if (!width) return;
  const scale = thickness(counts);
  const before = LOSSES.filter((name) => counts[name]);
  const after = REFUSALS.filter((name) => counts[name]);
  const branches = [...before, ...after];
  const sizes = sum(branches.map((name) => scale(counts[name])));
  const places = branches.length + 2.1;
  const upright = (width - sizes) / places < NARROWEST;
  const gap = upright ? STEP : (width - sizes) / places;
  const length = upright ? STEP * (places + 2.4) + sizes : width;
  const place = upright ? (along, across) => [across, along] : (along, across) => [along, ABOVE + across];
  box.classList.toggle("upright", upright);

  const shapes = [];
  const labels = [];
  const full = sizes + scale(passing(counts));
  let edge = full; // of the stream, where it is drawn next
  let bank = [[0, edge]]; // of the stream, as far as it is drawn
  let at = upright ? STEP * 1.5 : gap * 0.72;

  label("stream", "read", counts.read, [0, 0]);
  before.forEach(branch);
  if (upright) at += STEP * 0.3;
  stretch(at);
  stream(bank, "read");
  bank = [[at, edge]];
  const middle = at;
  if (counts.staged) label("stream", "staged", counts.staged, [at, 0]);
  at += upright ? STEP * 1.5 : gap;
  after.forEach(branch);
  stretch(length);

  const flying = Math.max(0, passing(counts) - counts.accepted);
  const accepted = counts.accepted ? Math.max(THINNEST, edge - scale(flying)) : 0;
  stream(bank, flying ? "flying" : "sent");
  if (flying && accepted) stream([[middle, accepted], [length, accepted]], "sent");
  if (counts.staged && state !== "held") label("stream end", "accepted", counts.accepted, [length - STEP, 0]);

  const height = upright ? length : ABOVE + full + DROP;
  box.replaceChildren(
    svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" }, shapes),
    h("ul", { class: "flow-labels" }, labels));

  function branch(name) {
    stretch(at);
    const size = scale(counts[name]);
    const inner = edge - size;
    const end = (upright ? THICKNESS : full) + DROP;
    const turn = Math.min(30, size + 14);
    const tone = EXPECTED.has(name) ? "aside" : "loss";
    shapes.push(path([
      ["M", place(at, inner)],
      ["C", place(at + turn, inner), place(at + turn + size, inner + turn * 0.4), place(at + turn + size, end)],
      ["L", place(at + turn, end)],
      ["C", place(at + turn, edge + turn * 0.4), place(at + turn * 0.6, edge), place(at, edge)],
    ], tone));
    label(tone, name, counts[name], upright ? [at + turn + size / 2 - 24, end + 10] : [at + turn - 4, end + 8]);
    edge = inner;
    bank.push([at, edge]);
    at += gap + size;
  }

  function stretch(to) {
    bank.push([to, edge]);
  }

  /** Draw the stream between its straight side and a bank. */
  function stream(points, kind) {
    const [start, end] = [points[0][0], points.at(-1)[0]];
    const corners = [[start, 0], [end, 0], ...points.toReversed()];
    shapes.push(path(corners.map((point, index) => [index ? "L" : "M", place(...point)]), kind));
  }

  function label(kind, name, count, [along, across]) {
    const item = h("li", { class: `flow-label ${kind}` }, h("b", {}, number(count)), " ", h("span", {}, t(`count.${name}`)));
    const isStream = kind.startsWith("stream");
    if (upright) Object.assign(item.style, { left: `${THICKNESS + DROP + 10}px`, top: `${along}px` });
    else if (kind.endsWith("end")) Object.assign(item.style, { right: "0", top: "0" });
    else if (isStream) Object.assign(item.style, { left: `${along}px`, top: "0" });
    else Object.assign(item.style, { left: `${along}px`, top: `${ABOVE + across}px`, maxWidth: `${gap - 10}px` });
    labels.push(item);
  }
}

/** Return how thick a number of people is, in px; nobody who is lost is too thin to be seen. */
function thickness(counts) {
  return (count) => (count ? Math.max(THINNEST, (THICKNESS * count) / Math.max(counts.read, 1)) : 0);
}

/** Return how many have not been lost so far. */
function passing(counts) {
  const lost = sum([...LOSSES, ...REFUSALS].map((name) => counts[name]));
  return Math.max(0, counts.read - lost);
}

function sum(values, start = 0) {
  return values.reduce((total, value) => total + value, start);
}

function path(commands, kind) {
  const d = commands.map(([letter, ...points]) =>
    letter + points.map((point) => point.map((x) => x.toFixed(1)).join(" ")).join(" ")).join("");
  return svg("path", { d: `${d}Z`, class: `stream-${kind}` });
}
