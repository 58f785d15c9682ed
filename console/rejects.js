/** The rows that were not sent: the first ones as a table, all of them as a file. */

import { Problem } from "./api.js";
import { h } from "./elements.js";
import { known, t } from "./language.js";

const MOST_READ = 2_000; // to choose a reason from
const MOST_ROWS = 200;

/** Return the table for a run, or null where no row was rejected. */
export async function rejects(run, signal) {
  const path = `/api/runs/${run.export_id}/${run.id}/rejects`;
  let rows;
  try {
    rows = await read(path, signal);
  } catch (problem) {
    if (problem.status === 404) return null;
    throw problem;
  }
  if (!rows.length) return null;
  const reasons = [...new Set(rows.map((row) => row.reason))];
  const body = h("tbody", {});
  const fill = (reason) => body.replaceChildren(...rows
    .filter((row) => !reason || row.reason === reason).slice(0, MOST_ROWS).map(line));
  fill("");
  return h("section", { "aria-labelledby": "rejects" },
    h("div", { class: "section-head" },
      h("h2", { id: "rejects" }, t("rejects")),
      h("a", { class: "button", href: path, download: "" }, t("rejects.download"))),
    h("p", { class: "quiet" }, t("rejects.masked")),
    reasons.length > 1 && h("div", { class: "inline-field" },
      h("label", { for: "reason" }, t("rejects.filter")),
      h("select", { id: "reason", onchange: (event) => fill(event.target.value) },
        h("option", { value: "" }, t("rejects.all")),
        reasons.map((reason) => h("option", { value: reason }, reasonText(reason))))),
    h("div", { class: "scroll tall", tabindex: "0", role: "group", "aria-label": t("rejects") },
      h("table", {},
        h("thead", {}, h("tr", {}, ["reason", "value", "field", "row", "file"].map((name) =>
          h("th", { scope: "col" }, t(`rejects.${name}`))))),
        body)),
    rows.length > MOST_ROWS && h("p", { class: "quiet" }, t("rejects.more", { n: MOST_ROWS })));
}

function line(row) {
  return h("tr", {},
    h("td", {}, reasonText(row.reason)),
    h("td", { class: "mono" }, row.value),
    h("td", {}, known("field", row.field) ?? row.field),
    h("td", { class: "n" }, row.row),
    h("td", { class: "mono", title: row.file }, row.file.split("/").at(-1)));
}

function reasonText(code) {
  return known("reason", code) ?? code;
}

async function read(path, signal) {
  const answer = await fetch(`${path}?first=${MOST_READ}`, { signal, redirect: "manual" });
  if (!answer.ok) throw new Problem(answer.status, {});
  return parse(await answer.text());
}

/** Return the records of CSV as objects. */
export function parse(text) {
  const records = [];
  let cells = [];
  let cell = "";
  let quoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const mark = text[at];
    if (quoted) {
      if (mark !== '"') cell += mark;
      else if (text[at + 1] === '"') {
        cell += '"';
        at += 1;
      } else quoted = false;
    } else if (mark === '"') quoted = true;
    else if (mark === ",") {
      cells.push(cell);
      cell = "";
    } else if (mark === "\n") {
      records.push([...cells, cell]);
      cells = [];
      cell = "";
    } else if (mark !== "\r") cell += mark;
  }
  const [names = [], ...rows] = records;
  return rows.map((row) => Object.fromEntries(names.map((name, index) => [name, row[index] ?? ""])));
}
