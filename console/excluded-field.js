/** Which segments are left out: whoever is in one of them is not sent. */

import { combobox } from "./combobox.js";
import { button, h } from "./elements.js";
import { t } from "./language.js";

/**
 * Return the field for `order.exclude_segments`.
 *
 * @param segments as the API lists them
 */
export function excludedField({ order, segments, changed }) {
  const chips = h("ul", { class: "chips" });
  const place = h("div", {});

  function set(names) {
    order.exclude_segments = names;
    show();
    changed();
  }

  function show() {
    const { exclude_segments: names } = order;
    const taken = new Set([...names, ...order.segments.map((each) => each.name)]);
    chips.replaceChildren(...names.map((name) => h("li", { class: "chip" }, name,
      button("×", () => set(names.filter((each) => each !== name)),
        { class: "plain", "aria-label": t("form.segment.remove", { name }) }))));
    chips.hidden = !names.length;
    place.replaceChildren(combobox({
      label: t("form.exclude"), placeholder: t("form.segment.placeholder"), keep: false,
      options: segments.filter((each) => !taken.has(each.name)).map((each) => ({ value: each.name, label: each.name })),
      choose: ({ value }) => set([...names, value]),
    }));
  }

  show();
  return h("fieldset", { "data-path": "exclude_segments" }, h("legend", {}, t("form.exclude")),
    h("p", { class: "hint" }, t("form.exclude.hint")), chips, place);
}
