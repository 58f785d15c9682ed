/** What people do with exports and runs: start, approve, cancel, retry, disable, delete. */

import { get, send } from "./api.js";
import { ask } from "./dialog.js";
import { h } from "./elements.js";
import { t } from "./language.js";
import { complain, refresh, say } from "./shell.js";

/** Start a run and go to it; where one is under way already, go to that. */
export async function start(exportId, options = {}) {
  try {
    const { location: path } = await send("POST", `/api/exports/${exportId}/runs`, { body: options });
    visit(path);
  } catch (problem) {
    complain(problem);
    if (problem.location) visit(problem.location);
  }
}

function visit(path) {
  location.hash = path.replace("/api/", "#/");
}

export async function startAfterAsking(order, hasPreview) {
  const yes = await ask(t("export.run.question", { name: order.display_name }), {
    content: [h("p", {}, t("export.run.text")), hasPreview && h("p", {}, t("export.run.preview"))],
    yes: t("export.run"),
  });
  if (yes) await start(order.id);
}

export async function approve(run, name) {
  const yes = await ask(t("run.approve.question", { n: run.counts.staged, name }), {
    content: [run.error && h("p", {}, t("run.approve.concern")), h("p", {}, t("run.approve.text"))],
    yes: t("run.approve"),
  });
  if (yes) await order("POST", `/api/runs/${run.export_id}/${run.id}/approve`, t("run.approved"));
}

export async function approveRemovals(run, count) {
  const yes = await ask(t("run.approve.removals.question", { n: count }), {
    content: [h("p", {}, t("run.approve.removals.text"))], yes: t("run.approve.removals"), danger: true,
  });
  if (yes) await order("POST", `/api/runs/${run.export_id}/${run.id}/approve`, t("run.approved"));
}

export async function cancel(run) {
  const discarded = run.phases.removing === undefined ? "run.discard.text" : "run.discard.removals.text";
  const yes = await ask(t(run.state === "held" ? "run.discard.question" : "run.cancel.question"), {
    content: [h("p", {}, t(run.state === "held" ? discarded : "run.cancel.text"))],
    yes: t(run.state === "held" ? "run.discard" : "run.cancel"), danger: true,
  });
  if (yes) await order("POST", `/api/runs/${run.export_id}/${run.id}/cancel`, t("run.cancelling"));
}

/** Change an export as it is now; if somebody else saved it meanwhile, say so. */
export async function setEnabled(id, enabled) {
  try {
    const { content, etag } = await send("GET", `/api/exports/${id}`);
    await send("PUT", `/api/exports/${id}`, { body: { ...content, enabled }, etag });
    say(t(enabled ? "export.enabled" : "export.disabled"), "good");
    refresh();
  } catch (problem) {
    complain(problem);
  }
}

export async function remove(id, name) {
  const yes = await ask(t("export.delete.question", { name }), {
    content: [h("p", {}, t("export.delete.text"))], yes: t("export.delete"), danger: true,
  });
  if (!yes) return;
  try {
    await send("DELETE", `/api/exports/${id}`);
    say(t("export.deleted"), "good");
    location.hash = "#/exports";
  } catch (problem) {
    complain(problem);
  }
}

async function order(method, path, done) {
  try {
    await send(method, path, { body: {} });
    say(done, "good");
    refresh();
  } catch (problem) {
    complain(problem);
  }
}

/** Return the names of a connection's lists by id; empty where they cannot be had just now. */
export async function listNames(items) {
  try {
    return Object.fromEntries((await items).map((each) => [each.id, each.name]));
  } catch {
    return {};
  }
}

/** Return a document, or null if it is gone. */
export async function find(path, signal) {
  try {
    return await get(path, signal);
  } catch (problem) {
    if (problem.status === 404) return null;
    throw problem;
  }
}
