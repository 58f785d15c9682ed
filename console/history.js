/** The runs of an export over time: how many were read, accepted and lost, and how long it took. */

import { h, svg } from "./elements.js";
import { duration, moment, number, t } from "./language.js";
import { notSent } from "./outcome.js";

const HEIGHT = 132;
const BELOW = 44; // for the seconds
const GAP = 30;
const WIDEST = 34;

/** Return the chart of *runs*, newest first as the API lists them. The list beside it says the same. */
export function historyChart(exportId, runs) {
  const shown = runs.filter((run) => run.finished_at).toReversed();
  if (shown.length < 2) return null;
  const box = h("div", { class: "chart" });
  new ResizeObserver(() => draw(box, exportId, shown)).observe(box);
  const largest = Math.max(...shown.map((run) => run.counts.read));
  return h("figure", { class: "history" },
    h("figcaption", {},
      h("ul", { class: "legend" }, ["accepted", "set_aside", "lost"].map((name) =>
        h("li", {}, h("i", { class: `key ${name}` }), t(`history.${name}`)))),
      h("p", { class: "quiet" }, t("history.scale", { n: largest }))),
    box);
}

function draw(box, exportId, runs) {
  const width = box.clientWidth;
  if (!width) return;
  const slot = Math.min(width / runs.length, WIDEST * 1.5);
  const bar = Math.max(2, Math.min(WIDEST, slot * 0.7));
  const largest = Math.max(1, ...runs.map((run) => run.counts.read));
  const slowest = Math.max(1, ...runs.map(seconds));
  const bars = runs.flatMap((run, index) => {
    const x = index * slot + (slot - bar) / 2;
    const { read, accepted } = run.counts;
    const lost = notSent(run.counts);
    const tall = (count) => (HEIGHT * count) / largest;
    const long = (BELOW * seconds(run)) / slowest;
    const parts = [["accepted", accepted], ["set_aside", Math.max(0, read - accepted - lost)], ["lost", lost]];
    let y = HEIGHT;
    const stack = parts.map(([name, count]) => {
      const height = count ? Math.max(1.5, tall(count)) : 0;
      y -= height;
      return svg("rect", { x, y, width: bar, height, class: name });
    });
    return svg("a", { href: `#/runs/${exportId}/${run.id}`, tabindex: "-1", class: "bar" },
      svg("title", {}, [moment(run.created_at), t(`state.${run.state}`),
        t("history.read", { n: read }), t("summary.accepted", { n: accepted }),
        t("summary.not_sent", { n: lost }), duration(seconds(run))].join("\n")),
      svg("rect", { x: index * slot, y: 0, width: slot, height: HEIGHT + GAP + BELOW, class: "target" }),
      stack,
      svg("rect", { x, y: HEIGHT + GAP + BELOW - Math.max(1, long), width: bar, height: Math.max(1, long), class: "seconds" }));
  });
  box.replaceChildren(
    svg("svg", { width, height: HEIGHT + GAP + BELOW, viewBox: `0 0 ${width} ${HEIGHT + GAP + BELOW}`, "aria-hidden": "true" },
      svg("line", { x1: 0, x2: width, y1: HEIGHT + 0.5, y2: HEIGHT + 0.5, class: "axis" }),
      svg("text", { x: 0, y: HEIGHT + 19, class: "axis-text" }, t("history.seconds", { most: duration(slowest) })),
      bars));
}

function seconds(run) {
  return Object.entries(run.phases).filter(([phase]) => phase !== "held")
    .reduce((sum, [, each]) => sum + each, 0);
}

/** Return the runs as a list of lines. */
export function runRows(exportId, runs, badge) {
  return runs.map((run) => h("tr", {},
    h("td", {}, h("a", { href: `#/runs/${exportId}/${run.id}` }, moment(run.created_at))),
    h("td", {}, badge(run)),
    h("td", { class: "n" }, number(run.counts.read)),
    h("td", { class: "n" }, number(run.counts.accepted)),
    h("td", { class: "n" }, number(notSent(run.counts))),
    h("td", { class: "n" }, duration(seconds(run)))));
}
