/** Which column says that a person may be written to, and which of its values mean yes. */

import { field, freshId, h } from "./elements.js";
import { t } from "./language.js";

/**
 * Return the field for `order.consent`.
 *
 * @param columns of the segment; empty until one is chosen
 */
export function consentField({ order, columns, changed }) {
  const id = freshId("consent");
  const values = h("input", { type: "text", id, value: order.consent?.values.join(", ") ?? "true", oninput: set });
  const rest = h("div", { class: "field", hidden: !order.consent, "data-path": "consent.values" },
    h("label", { for: id }, t("form.consent.values")), values);
  const names = columns.map((each) => each.name);
  const gone = order.consent && !names.includes(order.consent.column) ? [order.consent.column] : [];
  const column = h("select", { value: order.consent?.column ?? "", onchange: set },
    h("option", { value: "" }, t("form.consent.none")),
    [...gone, ...names].map((each) => h("option", { value: each }, each)));

  function set() {
    rest.hidden = !column.value;
    order.consent = column.value ? { column: column.value, values: split(values.value) } : null;
    changed();
  }

  return h("fieldset", {}, h("legend", {}, t("form.consent")),
    field(t("form.consent.column"), column, { hint: t("form.consent.hint"), path: "consent.column" }), rest);
}

function split(text) {
  return text.split(",").map((value) => value.trim()).filter(Boolean);
}
