/**
 * A choice among many, by typing a part of the name.
 * https://www.w3.org/WAI/ARIA/apg/patterns/combobox/examples/combobox-autocomplete-list/
 */

import { freshId, h } from "./elements.js";
import { t } from "./language.js";

const MOST = 60;

/**
 * Return the input with its list.
 *
 * @param options [{ value, label, hint, disabled }]
 * @param choose called with the option that was taken
 * @param keep whether the input goes on showing what was taken
 */
export function combobox({ label, options, value, choose, keep = true, placeholder = "" }) {
  const listId = freshId("options");
  let shown = [];
  let active = -1;
  let current = options.find((option) => option.value === value) ?? null;
  const input = h("input", {
    type: "text", role: "combobox", "aria-label": label, "aria-autocomplete": "list",
    "aria-expanded": "false", "aria-controls": listId, autocomplete: "off", spellcheck: "false",
    placeholder, value: current?.label ?? value ?? "",
    onfocus: () => input.select(),
    onclick: () => open(""),
    oninput: () => open(input.value),
    onkeydown: press,
    onblur: () => {
      close();
      if (keep) input.value = current?.label ?? value ?? "";
      else input.value = "";
    },
  });
  const list = h("ul", { id: listId, role: "listbox", "aria-label": label, hidden: true });
  const box = h("div", { class: "combobox" }, input, list);

  function open(text) {
    const wanted = text.trim().toLowerCase();
    const found = options.filter((option) => option.label.toLowerCase().includes(wanted));
    shown = found.slice(0, MOST);
    active = -1;
    list.replaceChildren(...shown.map(row));
    if (found.length > MOST || !found.length) {
      list.append(h("li", { class: "more", role: "option", "aria-disabled": "true" },
        found.length ? t("combobox.more", { n: found.length - MOST }) : t("combobox.none")));
    }
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    input.removeAttribute("aria-activedescendant");
  }

  function row(option, index) {
    return h("li", {
      id: `${listId}-${index}`, role: "option", "aria-selected": "false",
      "aria-disabled": option.disabled ? "true" : null,
      onmousedown: (event) => {
        event.preventDefault(); // the input keeps the focus
        take(option);
      },
    }, h("span", {}, option.label), option.hint && h("span", { class: "option-hint" }, option.hint));
  }

  function close() {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function take(option) {
    if (option.disabled) return;
    current = keep ? option : null;
    input.value = keep ? option.label : "";
    close();
    choose(option);
  }

  function move(step) {
    if (list.hidden) open(keep ? "" : input.value);
    if (!shown.length) return;
    active = (active + step + shown.length) % shown.length;
    for (const [index, item] of [...list.querySelectorAll("li[id]")].entries()) {
      item.setAttribute("aria-selected", String(index === active));
      if (index === active) item.scrollIntoView({ block: "nearest" });
    }
    input.setAttribute("aria-activedescendant", `${listId}-${active}`);
  }

  function press(event) {
    if (event.key === "ArrowDown") move(1);
    else if (event.key === "ArrowUp") move(active < 0 ? 0 : -1);
    else if (event.key === "Enter" && !list.hidden) take(shown[Math.max(active, 0)] ?? { disabled: true });
    else if (event.key === "Escape" && !list.hidden) close();
    else return;
    event.preventDefault();
  }

  return box;
}
