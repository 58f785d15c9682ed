/** Runs: the newest run of every export; those under way and those that wait come first. */

import { all } from "./api.js";
import { h } from "./elements.js";
import { filteredList } from "./filter.js";
import { ago, moment, t } from "./language.js";
import { badge, isActive, progressBar, summary } from "./outcome.js";
import { head } from "./shell.js";

export async function show({ signal }) {
  const lines = (await all("/api/overview", signal)).filter((line) => line.last_run);
  lines.sort((a, b) => rank(a) - rank(b) || (a.last_run.id < b.last_run.id ? 1 : -1));
  return [
    head(t("nav.runs"), { under: t("runs.under") }),
    filteredList({
      label: t("exports.search"),
      source: [lines],
      row,
      words: (line) => line.display_name,
      empty: h("div", { class: "empty" }, h("p", {}, t("runs.none"))),
    }),
  ];
}

function rank({ last_run: run }) {
  if (isActive(run)) return 0;
  return run.state === "held" ? 1 : 2;
}

function row(line) {
  const run = line.last_run;
  return h("li", { class: "row" },
    h("div", { class: "row-main" },
      h("a", { href: `#/runs/${line.id}/${run.id}` }, line.display_name),
      h("p", { class: "quiet" },
        moment(run.created_at), " · ", t(`trigger.${run.trigger}`), " · ",
        h("a", { href: `#/exports/${line.id}`, "aria-label": t("runs.history_of", { name: line.display_name }) },
          t("runs.history")))),
    h("div", { class: "row-side" }, badge(run),
      h("p", { class: "quiet" }, summary(run), " · ", ago(run.finished_at ?? run.created_at))),
    isActive(run) && h("div", { class: "row-wide" }, progressBar(run)));
}
