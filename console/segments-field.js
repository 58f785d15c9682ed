/** Which segments go to which lists: both are chosen by name. */

import { combobox } from "./combobox.js";
import { button, h } from "./elements.js";
import { number, t } from "./language.js";

/**
 * Return the field for `order.segments`.
 *
 * @param segments as the API lists them
 * @param lists of the connection; null while none can be had
 * @param changed called with the new segments after every change
 */
export function segmentsField({ order, segments, lists, changed, reload }) {
  const rows = h("div", { class: "targets-edit" });
  const fieldset = h("fieldset", { class: "section", "data-path": "segments" },
    h("legend", {}, t("form.segments")),
    h("p", { class: "hint" }, t("form.segments.hint")),
    rows,
    h("div", { class: "actions" },
      button(t("form.segments.add"), () => {
        set([...order.segments, { name: "", list_ids: [] }]);
        rows.querySelector(".target-edit:last-child input")?.focus();
      }),
      lists && button(t("form.lists.reload"), reload, { class: "plain" })));

  function set(targets) {
    order.segments = targets;
    show();
    changed();
  }

  function change(index, changes) {
    set(order.segments.map((target, at) => (at === index ? { ...target, ...changes } : target)));
  }

  function show() {
    rows.replaceChildren(...order.segments.map(row));
  }

  function row(target, index) {
    const taken = new Set([...order.segments.map((each) => each.name), ...order.exclude_segments]);
    const place = t("form.segment.number", { n: index + 1 });
    return h("div", { class: "target-edit" },
      h("div", { class: "field", "data-path": `segments.${index}.name` },
        h("span", { class: "label", "aria-hidden": "true" }, t("form.segment")),
        combobox({
          label: place,
          placeholder: t("form.segment.placeholder"),
          value: target.name,
          options: segments.map((segment) => ({
            value: segment.name, label: segment.name,
            hint: segment.complete ? size(segment) : t("form.segment.incomplete"),
            disabled: taken.has(segment.name) && segment.name !== target.name,
          })),
          choose: ({ value }) => change(index, { name: value, format: undefined }),
        })),
      h("span", { class: "arrow", "aria-hidden": "true" }, "→"),
      h("div", { class: "field", "data-path": `segments.${index}.list_ids` },
        h("span", { class: "label", "aria-hidden": "true" }, t("form.lists")),
        lists ? listPicker(target, index, place) : h("p", { class: "hint" }, t("form.lists.later"))),
      order.segments.length > 1 && button("×", () => set(order.segments.filter((_, at) => at !== index)),
        { class: "plain remove", "aria-label": t("form.segment.remove", { name: target.name || place }) }));
  }

  function listPicker(target, index, place) {
    const names = new Map(lists.map((list) => [list.id, list.name]));
    return h("div", { class: "picker" },
      target.list_ids.length > 0 && h("ul", { class: "chips" }, target.list_ids.map((id) =>
        h("li", { class: "chip" }, names.get(id) ?? t("list.unnamed", { id: id.slice(0, 8) }),
          button("×", () => change(index, { list_ids: target.list_ids.filter((each) => each !== id) }),
            { class: "plain", "aria-label": t("form.list.remove", { name: names.get(id) ?? id }) })))),
      combobox({
        label: t("form.lists.of", { place }),
        placeholder: t("form.lists.placeholder"),
        keep: false,
        options: lists.filter((list) => !target.list_ids.includes(list.id)).map((list) => ({
          value: list.id, label: list.name,
          hint: list.count === null ? "" : t("form.list.members", { n: list.count }),
        })),
        choose: ({ value }) => change(index, { list_ids: [...target.list_ids, value] }),
      }));
  }

  show();
  return fieldset;
}

function size(segment) {
  const bytes = segment.files.reduce((sum, file) => sum + file.size, 0);
  const [unit, each] = bytes >= 1e6 ? ["MB", 1e6] : ["kB", 1e3];
  return `${number(Math.round((bytes / each) * 10) / 10)} ${unit}`;
}
