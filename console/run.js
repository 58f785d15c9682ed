/** One run, live: how far it is, what became of everybody, and what a person can do about it. */

import { get, lookUp } from "./api.js";
import { button, h } from "./elements.js";
import { flow } from "./flow.js";
import { ago, duration, known, moment, number, percent, t } from "./language.js";
import { approve, approveRemovals, cancel, find, listNames, start } from "./orders.js";
import { badge, ENDED, LOSSES, progressBar, REFUSALS } from "./outcome.js";
import { rejects } from "./rejects.js";
import { may, mayUse, session } from "./session.js";
import { apology, head, notice } from "./shell.js";

const FAST_MS = 1000;
const SLOW_MS = 4000;
const FAST_FOR = 60; // looks, before they become rarer
const PHASES = ["queued", "preparing", "held", "sending", "following", "removing"];

export async function show({ parameters: [exportId, runId], signal }) {
  const path = `/api/runs/${exportId}/${runId}`;
  const [run, order] = await Promise.all([get(path, signal), find(`/api/exports/${exportId}`, signal)]);
  const look = (id) => find(`/api/connections/${id}`, signal);
  const connection = await look(run.connection_id);
  const next = order && order.connection_id !== run.connection_id ? await look(order.connection_id) : connection;
  const name = order?.display_name ?? exportId;
  const usable = mayUse(connection);
  const startable = Boolean(order?.enabled && next?.state === "connected" && mayUse(next));
  const context = { name, usable, startable, signal, names: {} };

  const actions = h("div", { class: "actions" });
  const status = h("section", { class: "status", "aria-label": t("run.status") });
  const details = h("div", { class: "details" });
  const spoken = h("p", { class: "unseen", role: "status" });
  let shown = null;
  let named = false;

  function update(now) {
    if (shown?.updated_at === now.updated_at && shown.state === now.state) {
      return;
    }
    if (shown?.state !== now.state || shown.cancel_requested !== now.cancel_requested) {
      actions.replaceChildren(...choices(now, context));
      if (shown) spoken.textContent = t(`state.${now.state}`);
    }
    status.replaceChildren(...standing(now));
    const open = details.querySelector(".batches")?.open;
    details.replaceChildren(...parts(now, context));
    if (open) details.querySelector(".batches").open = true;
    if (ENDED.has(now.state) || now.state === "held") showRejects(now, details, context);
    shown = now;
    if (!named && usable && connection?.state === "connected" && now.batches.length) nameLists();
  }

  /** Put the names of the lists in the place of their ids, once there are any. */
  function nameLists() {
    named = true;
    listNames(lookUp(`/api/connections/${run.connection_id}/lists`)).then((names) => {
      context.names = names;
      details.querySelector(".lists")?.replaceWith(lists(shown, names));
      const old = details.querySelector(".batches");
      const fresh = batches(shown, names);
      fresh.open = old.open;
      old.replaceWith(fresh);
    });
  }

  update(run);
  if (!ENDED.has(run.state)) follow(path, update, signal);
  return [
    head(name, {
      back: order ? [`#/exports/${exportId}`, t("history")] : ["#/runs", t("nav.runs")],
      under: t("run.under", { time: moment(run.created_at), who: run.requested_by, how: t(`trigger.${run.trigger}`) }),
    }),
    actions, status, details, spoken,
  ];
}

/** Look at the run until it has ended or the page is left; not while nobody sees the page. */
async function follow(path, update, signal) {
  for (let looks = 0; !signal.aborted; looks += 1) {
    await pause(looks < FAST_FOR ? FAST_MS : SLOW_MS, signal);
    if (signal.aborted) return;
    if (document.hidden) continue;
    try {
      const run = await get(path, signal);
      update(run);
      if (ENDED.has(run.state)) return;
    } catch (problem) {
      if (signal.aborted) return;
      if (problem.status === 401) {
        document.querySelector("main").replaceChildren(...apology(problem));
        return;
      }
    }
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}

/** Return what can be done with a run; anybody who may start runs may also stop them. */
function choices(run, { name, usable, startable }) {
  if (!may("Contributor")) return [];
  if (run.state === "held" && !run.cancel_requested) {
    const own = run.two_people && run.audit.some((each) => each.what === "started" && each.who === session.id);
    return [
      usable && !own && button(t(removesNext(run) ? "run.approve.removals" : "run.approve"),
        () => (removesNext(run) ? approveRemovals(run, leaving(run)) : approve(run, name)), { class: "primary" }),
      button(t("run.discard"), () => cancel(run)),
      own && h("p", { class: "quiet" }, t("run.two_people")),
    ].filter(Boolean);
  }
  if (!ENDED.has(run.state)) {
    return run.cancel_requested ? [h("p", { class: "quiet" }, t("run.cancelling"))]
      : [button(t("run.cancel"), () => cancel(run))];
  }
  if (!startable) return [];
  const failed = run.batches.some((batch) => batch.state === "failed");
  if (run.state === "failed" && failed) {
    return [button(t("run.retry"), () => start(run.export_id, { retry_of: run.id }), { class: "primary" })];
  }
  return run.state === "completed" ? []
    : [button(t("run.again"), () => start(run.export_id, { hold: run.hold }), { class: "primary" })];
}

function standing(run) {
  const held = run.state === "held";
  return [
    h("div", { class: "standing" }, badge(run), h("p", { class: "lead" }, lead(run))),
    !ENDED.has(run.state) && !held && progressBar(run),
    problems(run).map((each) => notice(each, held ? "warn" : "bad")),
    run.waiting && run.waiting.reason !== "activities" && h("div", {},
      notice({ ...run.waiting, code: run.waiting.reason }, "warn"),
      h("p", { class: "quiet" }, t("run.waits_until", { time: moment(run.waiting.until) }))),
    run.reconciled === false && hasSent(run) && h("div", { class: "notice bad" }, h("p", {}, t("run.unreconciled"))),
    phases(run),
  ].flat().filter(Boolean);
}

/** Everything that speaks against approving a held run; why another one ended. */
function problems({ state, error, concerns, cancel_requested: ending }) {
  return state === "held" && !ending && concerns.length ? concerns : [error].filter(Boolean);
}

function lead(run) {
  const { counts } = run;
  if (run.state === "completed" && run.reconciled) return t("run.lead.reconciled", { n: counts.read });
  if (removesNext(run)) return t("run.lead.removals", { n: leaving(run) });
  if (run.state === "held") return t(run.error ? "run.lead.guarded" : "run.lead.preview", { n: counts.staged });
  return t(`run.lead.${run.state}`, { n: counts.staged });
}

function hasSent(run) {
  return run.phases.sending !== undefined;
}

/** Say whether a held run has sent everybody and asks before it takes others off the list. */
export function removesNext(run) {
  return run.state === "held" && run.phases.removing !== undefined;
}

/** How many people approving now takes off lists; who is off already is not among them. */
export function leaving(run) {
  const open = run.mirror?.lists.filter((each) => !["removed", "cleared"].includes(each.stage)) ?? [];
  return open.reduce((sum, each) => sum + (each.leaving ?? 0), 0);
}

function phases(run) {
  const done = PHASES.filter((phase) => run.phases[phase] !== undefined || phase === run.state);
  return h("ol", { class: "phases" }, done.map((phase) =>
    h("li", { class: phase === run.state ? "now" : "past", "aria-current": phase === run.state ? "step" : null },
      h("span", {}, t(`phase.${phase}`)),
      h("b", {}, phase === run.state ? "…" : duration(run.phases[phase])))));
}

function parts(run, context) {
  const { counts } = run;
  return [
    counts.read > 0 && h("section", { "aria-labelledby": "flow" },
      h("h2", { id: "flow" }, t(run.state === "held" && !removesNext(run) ? "flow.preview" : "flow")), flow(run), run.state === "held" && plan(run), extras(run)),
    run.lists.some((each) => each.after !== null) && lists(run, context.names),
    run.batches.length > 0 && batches(run, context.names),
    h("div", { class: "rejects-place" }),
    origin(run),
  ].filter(Boolean);
}

/** Return what approving would come to, as far as the memory of earlier runs tells. */
function plan({ plan: found, mirror }) {
  if (!found) return null;
  const told = ["new", "changed", "leaving"].filter((name) => found[name] !== null);
  const counts = (found.moved ? [...told, "moved"] : told)
    .map((name) => fact(t(`plan.${name}`), number(found[name])));
  return h("dl", { class: "facts plan" }, counts,
    mirror && found.leaving === null && fact(t("plan.leaving"), t("plan.leaving.unknown")),
    found.calls > 0 && fact(t("plan.calls"), t("plan.calls.value",
      { calls: number(found.calls), share: percent(found.quota_percent / 100) })),
    found.minutes > 0 && fact(t("plan.time"), duration(Math.max(1, found.minutes * 60))));
}

function extras({ counts, notes }) {
  const lines = ["shortened_values", "left_out_values", "removed"].filter((name) => counts[name])
    .map((name) => t(`count.${name}.note`, { n: counts[name] }));
  const all = [...lines, ...notes.map((note) => known("note", note.code) ?? note.message)];
  return all.length > 0 && h("ul", { class: "notes" }, all.map((line) => h("li", {}, line)));
}

function lists(run, names) {
  return h("section", { class: "lists", "aria-labelledby": "lists" },
    h("h2", { id: "lists" }, t("lists")),
    h("ul", { class: "rows slim" }, run.lists.map((each) =>
      h("li", { class: "row" },
        h("div", { class: "row-main" }, names[each.list_id] ?? t("list.unnamed", { id: each.list_id.slice(0, 8) })),
        h("div", { class: "row-side" }, t("lists.members", {
          before: each.before === null ? "?" : number(each.before), after: each.after === null ? "…" : number(each.after),
        }))))));
}

function batches(run, names) {
  return h("details", { class: "batches", open: run.batches.some((batch) => batch.state === "failed") },
    h("summary", {}, h("h2", {}, t("batches")), h("span", { class: "quiet" }, t("batches.count", { n: run.batches.length }))),
    h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": t("batches") },
      h("table", {},
        h("thead", {}, h("tr", {},
          h("th", { scope: "col" }, t("batches.number")), h("th", { scope: "col" }, t("batches.state")),
          h("th", { scope: "col" }, t("batches.lists")),
          ["rows", "accepted", "refused", "suppressed"].map((name) => h("th", { scope: "col", class: "n" }, t(`batches.${name}`))))),
        h("tbody", {}, run.batches.map((batch) => [
          h("tr", {},
            h("td", {}, String(batch.number + 1)),
            h("td", {}, t(`batch.${batch.state}`)),
            h("td", {}, batch.list_ids.map((id) => names[id] ?? t("list.unnamed", { id: id.slice(0, 8) })).join(", ")),
            [batch.rows, batch.accepted, batch.refused, batch.suppressed].map((count) => h("td", { class: "n" }, number(count)))),
          batch.errors.length > 0 && h("tr", { class: "batch-errors" },
            h("td", { colspan: "7", lang: "en" }, batch.errors.slice(0, 5).join(" · "))),
        ])))));
}

function origin(run) {
  return h("section", { class: "origin", "aria-labelledby": "origin" },
    h("h2", { id: "origin" }, t("origin")),
    h("dl", { class: "facts" },
      run.snapshots.map((each) => fact(t(each.excluded ? "origin.excluded" : "origin.segment", { name: each.segment }),
        t("origin.files", { n: each.files.length, time: moment(each.complete_since) }))),
      run.audit.map((each) => fact(t(`audit.${each.what}`), t("connection.by", { time: moment(each.at), name: each.name }))),
      run.finished_at && fact(t("run.finished"), ago(run.finished_at)),
      fact(t("run.calls"), number(run.calls))));
}

function fact(name, value) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, value));
}

function losses(counts) {
  return [...LOSSES, ...REFUSALS].some((name) => name !== "unchanged" && counts[name]);
}

async function showRejects(run, details, { signal }) {
  if (!may("Contributor") || !losses(run.counts)) return;
  try {
    const table = await rejects(run, signal);
    if (table) details.querySelector(".rejects-place")?.replaceChildren(table);
  } catch (problem) {
    if (!signal.aborted) details.querySelector(".rejects-place")?.replaceChildren(notice(problem));
  }
}
