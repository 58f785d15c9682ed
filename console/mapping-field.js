/** Which column fills which contact field, with masked samples of what is in it. */

import { button, freshId, h } from "./elements.js";
import { known, t } from "./language.js";

/**
 * Return the field for `order.mapping`.
 *
 * @param columns of the segment, with samples; empty until one is chosen
 * @param fields that the account knows; the standard ones where it cannot be asked
 * @param proposed field → column, as the API suggests them
 */
export function mappingField({ order, columns, fields, proposed, changed }) {
  const body = h("tbody", {});
  const more = h("div", { class: "add-field" });
  const byName = new Map(columns.map((column) => [column.name, column]));

  function set(mapping) {
    order.mapping = mapping;
    show();
    changed();
  }

  function show() {
    const keys = ["email", ...Object.keys(order.mapping).filter((key) => key !== "email")];
    body.replaceChildren(...keys.map(row));
    const left = fields.filter((field) => !keys.includes(field.key));
    const id = freshId("add");
    more.replaceChildren(h("label", { for: id }, t("form.mapping.add")),
      h("select", { id, value: "", onchange: (event) => add(event.target.value) },
        h("option", { value: "" }, t("form.mapping.choose")),
        left.map((field) => h("option", { value: field.key }, fieldName(field.key, fields)))));
  }

  function add(key) {
    if (!key) return;
    set({ ...order.mapping, [key]: proposed[key] ?? "" });
    body.querySelector("tr:last-child select")?.focus();
  }

  function row(key) {
    const column = order.mapping[key] ?? "";
    const name = fieldName(key, fields);
    const names = [...byName.keys()];
    const options = column && !byName.has(column) ? [column, ...names] : names;
    return h("tr", { "data-field": key },
      h("th", { scope: "row" }, name, key === "email" && h("span", { class: "optional" }, t("required"))),
      h("td", { "data-path": `mapping.${key}` },
        h("select", {
          "aria-label": t("form.mapping.column_for", { name }), value: column,
          onchange: (event) => set({ ...order.mapping, [key]: event.target.value }),
        }, h("option", { value: "" }, t("form.mapping.column")),
        options.map((each) => h("option", { value: each }, each))),
        column && proposed[key] === column && h("span", { class: "proposed" }, t("form.mapping.proposed"))),
      h("td", { class: "mono samples" }, (byName.get(column)?.samples ?? []).slice(0, 3).join("   ")),
      h("td", {}, key !== "email" && button("×", () => {
        const { [key]: _, ...rest } = order.mapping;
        set(rest);
      }, { class: "plain remove", "aria-label": t("form.mapping.remove", { name }) })));
  }

  show();
  return h("fieldset", { class: "section", "data-path": "mapping" },
    h("legend", {}, t("form.mapping")),
    h("p", { class: "hint" }, columns.length ? t("form.mapping.hint")
      : t(order.segments.some((target) => target.name) ? "form.mapping.unreadable" : "form.mapping.first")),
    h("table", { class: "mapping" },
      h("thead", {}, h("tr", {},
        h("th", { scope: "col" }, t("form.mapping.field")), h("th", { scope: "col" }, t("form.mapping.column")),
        h("th", { scope: "col" }, t("form.mapping.samples")), h("td", {}))),
      body),
    more,
    columns.length > 0 && samples(columns));
}

/** Return all columns with what is in them. */
function samples(columns) {
  return h("details", { class: "samples-all" },
    h("summary", {}, t("form.samples", { n: columns.length })),
    h("p", { class: "hint" }, t("rejects.masked")),
    h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": t("form.mapping.samples") },
      h("table", {},
        h("thead", {}, h("tr", {}, ["column", "type", "samples"].map((name) =>
          h("th", { scope: "col" }, t(`form.samples.${name}`))))),
        h("tbody", {}, columns.map((column) => h("tr", {},
          h("th", { scope: "row" }, column.name), h("td", {}, column.type),
          h("td", { class: "mono" }, column.samples.join("   "))))))));
}

export function fieldName(key, fields = []) {
  if (!key.startsWith("cf:")) return known("field", key) ?? key;
  return fields.find((field) => field.key === key)?.label ?? key.slice(3);
}
