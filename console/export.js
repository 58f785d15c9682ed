/** One export: what it sends where, what can be done with it, and how its runs went. */

import { get, lookUp } from "./api.js";
import { button, h } from "./elements.js";
import { historyChart, runRows } from "./history.js";
import { known, moment, t } from "./language.js";
import { find, listNames, remove, setEnabled, start, startAfterAsking } from "./orders.js";
import { badge, timing } from "./outcome.js";
import { scheduleText } from "./schedule.js";
import { may, mayUse } from "./session.js";
import { complain, head } from "./shell.js";

export async function show({ parameters: [id], signal }) {
  const [order, page] = await Promise.all([
    get(`/api/exports/${id}`, signal), get(`/api/exports/${id}/runs`, signal),
  ]);
  const connection = await find(`/api/connections/${order.connection_id}`, signal);
  const usable = mayUse(connection);
  const ready = usable && order.enabled && connection?.state === "connected";
  return [
    head(order.display_name, {
      back: ["#/exports", t("nav.exports")],
      under: [order.enabled ? null : h("span", { class: "badge plain" }, t("state.disabled")), " ",
        order.enabled ? scheduleText(order) : timing(order)],
      actions: [
        ready && button(t("export.preview"), () => start(id, { hold: true })),
        ready && button(t("export.run"), () => startAfterAsking(order, true), { class: "primary" }),
      ],
    }),
    order.enabled && connection && connection.state !== "connected"
      && h("div", { class: "notice bad" }, h("p", {}, t("export.not_connected")),
        h("p", {}, h("a", { href: "#/connections" }, t("nav.connections")))),
    facts(order, connection, usable && connection?.state === "connected"),
    may("Contributor") && h("div", { class: "actions" },
      usable && h("a", { class: "button", href: `#/exports/${id}/edit` }, t("export.edit")),
      h("a", { class: "button", href: `#/exports/_new/${id}` }, t("export.duplicate")),
      usable && button(t(order.enabled ? "export.disable" : "export.enable"), () => setEnabled(id, !order.enabled)),
      usable && button(t("export.delete"), () => remove(id, order.display_name), { class: "plain danger-text" })),
    history(id, page, signal),
  ].filter(Boolean);
}

function facts(order, connection, mayLookUp) {
  const targets = h("ul", { class: "targets" });
  const fill = (names) => targets.replaceChildren(...order.segments.map((target) =>
    h("li", {},
      h("span", { class: "segment" }, target.name), h("span", { class: "arrow", "aria-label": t("to") }, "→"),
      target.list_ids.map((id) => h("span", { class: "list" }, names[id] ?? t("list.unnamed", { id: id.slice(0, 8) }))))));
  fill({});
  if (mayLookUp) listNames(lookUp(`/api/connections/${order.connection_id}/lists`)).then(fill);
  return h("section", { class: "about", "aria-label": t("export.about") }, targets,
    h("dl", { class: "facts" },
      fact(t("form.connection"), connection?.display_name ?? t("connection.gone")),
      fact(t("form.mode"), t(`mode.${order.mode}`)),
      fact(t("form.mapping"), Object.keys(order.mapping).map(fieldName).join(", ")),
      order.consent && fact(t("form.consent"), `${order.consent.column} = ${order.consent.values.join(", ")}`),
      order.exclude_segments.length > 0 && fact(t("form.exclude"), order.exclude_segments.join(", ")),
      fact(t("form.only_changes"), t(order.only_changes ? "yes" : "no")),
      fact(t("form.two_people"), t(order.two_people ? "yes" : "no")),
      order.updated_at && fact(t("export.updated"), t("connection.by",
        { time: moment(order.updated_at), name: order.updated_by ?? "" }))));
}

function fieldName(key) {
  return known("field", key) ?? key.replace("cf:", "");
}

function fact(name, value) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, value));
}

function history(id, page, signal) {
  if (!page.items.length) {
    return h("section", { class: "empty" }, h("p", {}, t("export.no_runs")));
  }
  const rows = h("tbody", {}, runRows(id, page.items, badge));
  let next = page.next;
  const more = button(t("history.older"), async () => {
    try {
      const older = await get(next, signal);
      rows.append(...runRows(id, older.items, badge));
      next = older.next;
      more.hidden = !next;
    } catch (problem) {
      complain(problem);
    }
  }, { hidden: !next });
  return h("section", { "aria-labelledby": "history" },
    h("h2", { id: "history" }, t("history")),
    historyChart(id, page.items),
    h("div", { class: "scroll", tabindex: "0", role: "group", "aria-labelledby": "history" },
      h("table", { class: "runs" },
        h("thead", {}, h("tr", {},
          ["started", "state"].map((name) => h("th", { scope: "col" }, t(`history.column.${name}`))),
          ["read", "accepted", "lost", "seconds"].map((name) =>
            h("th", { scope: "col", class: "n" }, t(`history.column.${name}`))))),
        rows)),
    more);
}
