/** Exports: every standing order with its last result and its next run. */

import { pages } from "./api.js";
import { h } from "./elements.js";
import { filteredList } from "./filter.js";
import { ago, moment, t } from "./language.js";
import { badge, summary, timing } from "./outcome.js";
import { may } from "./session.js";
import { head } from "./shell.js";

export function show({ signal }) {
  const add = may("Contributor") && h("a", { class: "button primary", href: "#/exports/_new" }, t("exports.new"));
  return [
    head(t("nav.exports"), { under: t("exports.under"), actions: add }),
    filteredList({
      label: t("exports.search"),
      source: pages("/api/overview", signal),
      row,
      words: (line) => `${line.display_name} ${line.segments.join(" ")}`,
      empty: h("div", { class: "empty" }, h("p", {}, t("exports.none"))),
    }),
  ];
}

function row(line) {
  const run = line.last_run;
  const next = timing(line) ?? t("exports.next", { time: moment(line.next_run) });
  return h("li", { class: "row" },
    h("div", { class: "row-main" },
      h("a", { href: `#/exports/${line.id}` }, line.display_name),
      h("p", { class: "quiet" }, line.segments.join(", "), " · ", next)),
    h("div", { class: "row-side" },
      !line.enabled && h("span", { class: "badge plain" }, t("state.disabled")),
      run ? [
        h("a", { class: "row-run", href: `#/runs/${line.id}/${run.id}` }, badge(run)),
        h("p", { class: "quiet" }, summary(run), " · ", ago(run.finished_at ?? run.created_at)),
      ] : h("p", { class: "quiet" }, t("exports.never"))));
}
