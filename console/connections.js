/** Connections: the Constant Contact accounts, how they stand, and what depends on them. */

import { all, forgetLookUps, send } from "./api.js";
import { ask } from "./dialog.js";
import { button, h } from "./elements.js";
import { moment, t } from "./language.js";
import { isActive } from "./outcome.js";
import { may } from "./session.js";
import { complain, head, notice, refresh, say } from "./shell.js";

export async function show({ signal }) {
  const [connections, lines] = await Promise.all([
    all("/api/connections", signal), all("/api/overview", signal),
  ]);
  const add = may("Administrator")
    && h("a", { class: "button primary", href: "#/connections/_new" }, t("connections.new"));
  return [
    head(t("nav.connections"), { under: t("connections.under"), actions: add }),
    connections.length
      ? h("div", { class: "cards" }, connections.map((each) => card(each, lines)))
      : h("div", { class: "empty" }, h("p", {}, t("connections.none"))),
  ];
}

function card(connection, lines) {
  const users = lines.filter((line) => line.connection_id === connection.id);
  const { display_name: name, state } = connection;
  const again = state !== "new";
  return h("article", { class: "card" },
    h("div", { class: "card-head" },
      h("h2", {}, name),
      h("span", { class: `badge ${{ connected: "good", new: "warn" }[state] ?? "bad"}` },
        t(`connection.state.${state}`))),
    connection.problem && notice(connection.problem),
    h("dl", { class: "facts" },
      fact(t("connection.account"), connection.account?.name ?? t("connection.account.none")),
      fact(t("connection.usable_by"), t(connection.usable_by.includes("Contributor")
        ? "connection.usable_by.contributors" : "connection.usable_by.administrators")),
      connection.days_left !== null
        && fact(t("connection.days_left"), t("connection.days", { n: connection.days_left })),
      connection.connected_at
        && fact(t("connection.connected"), t("connection.by",
          { time: moment(connection.connected_at), name: connection.connected_by ?? "" })),
      fact(t("connection.exports"), t("connection.exports.count", { n: users.length }))),
    may("Administrator") && h("div", { class: "actions" },
      button(t(again ? "connection.reconnect" : "connection.connect"), () => connect(connection.id),
        { class: state === "connected" ? null : "primary", "aria-label": labelled(again ? "connection.reconnect" : "connection.connect", name) }),
      h("a", { class: "button", href: `#/connections/${connection.id}/edit`, "aria-label": labelled("connection.change", name) },
        t("connection.change")),
      again && button(t("connection.replace"), () => replace(connection),
        { class: "plain", "aria-label": labelled("connection.replace", name) }),
      button(t("connection.remove"), () => remove(connection, users),
        { class: "plain danger-text", "aria-label": labelled("connection.remove", name) })));
}

function labelled(key, name) {
  return `${t(key)}: ${name}`;
}

function fact(name, value) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, value));
}

/** Go to Constant Contact, which asks the person and sends them back here. */
export async function connect(id, options = {}) {
  try {
    const { content } = await send("POST", `/api/connections/${id}/authorize`, { body: options });
    location.assign(content.authorization_url);
  } catch (problem) {
    complain(problem);
  }
}

async function replace(connection) {
  const yes = await ask(t("connection.replace.question", { name: connection.display_name }), {
    content: [h("p", {}, t("connection.replace.text"))], yes: t("connection.replace"),
  });
  if (yes) await connect(connection.id, { replace_account: true });
}

async function remove(connection, users) {
  const active = users.filter((line) => line.last_run && (isActive(line.last_run) || line.last_run.state === "held"));
  const yes = await ask(t("connection.remove.question", { name: connection.display_name }), {
    content: [
      h("p", {}, t("connection.remove.text")),
      users.length && h("p", {}, t("connection.remove.stops", { n: users.length })),
      users.length && h("ul", { class: "stops" }, users.slice(0, 12).map((line) =>
        h("li", {}, line.display_name,
          active.includes(line) && h("span", { class: "badge warn" }, t("connection.remove.run"))))),
      users.length > 12 && h("p", { class: "quiet" }, t("and_more", { n: users.length - 12 })),
    ],
    yes: t("connection.remove"), danger: true,
  });
  if (!yes) return;
  try {
    await send("DELETE", `/api/connections/${connection.id}`);
    forgetLookUps();
    say(t("connection.removed"), "good");
    refresh();
  } catch (problem) {
    complain(problem);
  }
}
