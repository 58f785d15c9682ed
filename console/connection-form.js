/** A connection to make or to change: its name, who may use it, and the consent. */

import { get, send } from "./api.js";
import { connect } from "./connections.js";
import { button, choice, field, h } from "./elements.js";
import { showFaults } from "./faults.js";
import { language, t } from "./language.js";
import { session } from "./session.js";
import { complain, head, say } from "./shell.js";

export async function show({ parameters: [id], signal }) {
  const before = id ? await get(`/api/connections/${id}`, signal) : null;
  const name = h("input", { type: "text", value: before?.display_name ?? "", maxlength: "100", required: true, autocomplete: "off" });
  const shared = h("fieldset", { "data-path": "usable_by" },
    h("legend", {}, t("connection.usable_by")),
    ["administrators", "contributors"].map((who) => choice({
      type: "radio", name: "usable_by", value: who,
      checked: (before?.usable_by.includes("Contributor") ?? false) === (who === "contributors"),
    }, t(`connection.usable_by.${who}`), t(`connection.usable_by.${who}.hint`))));
  const consent = before ? null : h("fieldset", { "data-path": "consent" },
    h("legend", {}, t("connection.consent")),
    language !== "en" && h("p", { class: "hint" }, t("connection.consent.meaning")),
    h("blockquote", { lang: "en" }, session.consent_text),
    choice({ type: "checkbox", name: "consent" }, t("connection.consent.accept")));
  const form = h("form", { class: "form", novalidate: true, onsubmit: save },
    field(t("connection.name"), name, { hint: t("connection.name.hint"), path: "display_name" }),
    shared, consent,
    h("div", { class: "actions" },
      button(t(before ? "save" : "connection.create"), null, { type: "submit", class: "primary" }),
      h("a", { class: "button plain", href: "#/connections" }, t("cancel"))));

  async function save(event) {
    event.preventDefault();
    const usable_by = form.elements.usable_by.value === "contributors"
      ? ["Administrator", "Contributor"] : ["Administrator"];
    const body = { display_name: name.value, usable_by };
    try {
      if (before) {
        await send("PATCH", `/api/connections/${id}`, { body });
        say(t("saved"), "good");
        location.hash = "#/connections";
      } else {
        const { content } = await send("POST", "/api/connections",
          { body: { ...body, consent: { accepted: form.elements.consent.checked } } });
        await connect(content.id);
      }
    } catch (problem) {
      if (problem.faults?.length) showFaults(form, problem.faults, { focus: true });
      else complain(problem);
    }
  }

  return [
    head(t(before ? "connection.change.title" : "connections.new"),
      { back: ["#/connections", t("nav.connections")], under: before ? null : t("connection.form.under") }),
    form,
  ];
}
