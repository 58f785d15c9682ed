/** Home: what needs a person now, what is under way, and the calls used today. */

import { all, get } from "./api.js";
import { h } from "./elements.js";
import { ago, clockTime, number, percent, sentence, t } from "./language.js";
import { badge, isActive, isAmiss, progressBar, summary } from "./outcome.js";
import { head } from "./shell.js";
import { may } from "./session.js";

const FEW_DAYS = 14;
const MOST = 25; // matters at a time

export async function show({ signal }) {
  const [lines, connections, session] = await Promise.all([
    all("/api/overview", signal), all("/api/connections", signal), get("/api/session", signal),
  ]);
  const matters = [...connections.map(connectionMatter), ...lines.map(exportMatter)].filter(Boolean);
  const active = lines.filter((line) => line.last_run && isActive(line.last_run));
  const isNew = !lines.some((line) => line.last_run);
  const title = isNew ? t("home.welcome") : matters.length
    ? t("home.needs", { n: matters.length }) : t("home.calm");
  return [
    head(title, { under: isNew ? t("home.welcome.under") : matters.length ? null : t("home.calm.under") }),
    isNew && steps(connections, lines),
    matters.length && h("ul", { class: "matters" }, matters.slice(0, MOST),
      matters.length > MOST && h("li", { class: "quiet" }, t("and_more", { n: matters.length - MOST }))),
    active.length && h("section", { "aria-labelledby": "active" },
      h("h2", { id: "active" }, t("home.active")),
      h("ul", { class: "rows" }, active.map(activeRow))),
    h("div", { class: "columns" },
      quota(session.usage),
      recent(lines)),
  ].filter(Boolean);
}

function wasConnected(connection) {
  return connection.state !== "new";
}

function steps(connections, lines) {
  const done = [
    connections.some(wasConnected),
    lines.length > 0,
    lines.some((line) => line.last_run?.state === "completed"),
  ];
  const links = ["#/connections", "#/exports/_new", lines.length ? `#/exports/${lines[0].id}` : "#/exports"];
  const now = done.indexOf(false);
  return h("ol", { class: "steps" }, done.map((isDone, index) =>
    h("li", { class: isDone ? "done" : index === now ? "now" : "later" },
      h("div", {},
        h("h2", {}, t(`home.step.${index + 1}`), isDone && h("span", { class: "badge good" }, t("done"))),
        h("p", {}, t(`home.step.${index + 1}.why`))),
      index === now && may(index ? "Contributor" : "Administrator")
        && h("a", { class: "button primary", href: links[index] }, t(`home.step.${index + 1}.do`)))));
}

function matter(tone, title, text, href, label) {
  return h("li", { class: `matter ${tone}` },
    h("div", {}, h("h2", {}, title), h("p", {}, text)),
    h("a", { class: "button", href, "aria-label": `${label}: ${title}` }, label));
}

function connectionMatter(connection) {
  const name = connection.display_name;
  const where = "#/connections";
  if (connection.state === "reconnect_required") {
    const text = connection.problem ? sentence(connection.problem) : t("matter.reconnect.text");
    return matter("bad", t("matter.reconnect", { name }), text, where, t("connection.reconnect"));
  }
  if (connection.state === "new") {
    return matter("warn", t("matter.new", { name }), t("matter.new.text"), where, t("connection.connect"));
  }
  if (connection.days_left !== null && connection.days_left <= FEW_DAYS) {
    return matter("warn", t("matter.expires", { name }),
      t("matter.expires.text", { n: connection.days_left }), where, t("connection.reconnect"));
  }
  return null;
}

function exportMatter(line) {
  const run = line.last_run;
  const name = line.display_name;
  const href = run && `#/runs/${line.id}/${run.id}`;
  if (line.disabled_reason) {
    return matter("warn", t("matter.disabled", { name }), t("matter.disabled.text"),
      `#/exports/${line.id}/edit`, t("export.edit"));
  }
  if (run?.state === "held") {
    const why = run.error ? sentence(run.error) : t("matter.held.text", { n: run.counts.staged });
    return matter("warn", t("matter.held", { name }), why, href, t("matter.held.do"));
  }
  if (run?.state === "failed" && line.enabled) {
    const why = run.error ? sentence(run.error) : t("problem.unknown");
    return matter("bad", t("matter.failed", { name }), why, href, t("matter.failed.do"));
  }
  if (run && isAmiss(run)) {
    return matter("bad", t("matter.unreconciled", { name }), t("matter.unreconciled.text"), href,
      t("matter.failed.do"));
  }
  return null;
}

function activeRow(line) {
  const run = line.last_run;
  return h("li", { class: "row" },
    h("div", { class: "row-main" },
      h("a", { href: `#/runs/${line.id}/${run.id}` }, line.display_name),
      h("p", { class: "quiet" }, summary(run))),
    h("div", { class: "row-side" }, badge(run)),
    h("div", { class: "row-wide" }, progressBar(run)));
}

function quota({ used, limit, resets_at }) {
  const fill = h("div", { class: "fill" });
  fill.style.width = `${Math.min(100, (100 * used) / limit)}%`;
  return h("section", { class: "quota", "aria-labelledby": "quota" },
    h("h2", { id: "quota" }, t("quota")),
    h("p", { class: "figure" }, number(used), h("span", {}, t("quota.of", { limit: number(limit) }))),
    h("div", {
      class: `progress ${used >= limit ? "bad" : "live"}`, role: "meter", "aria-label": t("quota"),
      "aria-valuemin": "0", "aria-valuemax": String(limit), "aria-valuenow": String(Math.min(used, limit)),
      "aria-valuetext": percent(used / limit),
    }, fill),
    h("p", { class: "quiet" }, t("quota.resets", { time: clockTime(resets_at) })));
}

function recent(lines) {
  const ended = lines.filter((line) => line.last_run?.finished_at)
    .sort((a, b) => (a.last_run.finished_at < b.last_run.finished_at ? 1 : -1)).slice(0, 5);
  if (!ended.length) return null;
  return h("section", { "aria-labelledby": "recent" },
    h("h2", { id: "recent" }, t("home.recent")),
    h("ul", { class: "rows slim" }, ended.map((line) =>
      h("li", { class: "row" },
        h("div", { class: "row-main" },
          h("a", { href: `#/runs/${line.id}/${line.last_run.id}` }, line.display_name),
          h("p", { class: "quiet" }, summary(line.last_run))),
        h("div", { class: "row-side quiet" }, ago(line.last_run.finished_at))))));
}
