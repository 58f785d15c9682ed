/** A list that can be narrowed by typing; rows come in page by page. */

import { h } from "./elements.js";
import { t } from "./language.js";
import { complain } from "./shell.js";

/**
 * Return a search field with a list below that fills from *source*, an async iterator of pages.
 *
 * @param row makes the list item of an item
 * @param words gives the text that is searched
 * @param empty what to show when there is nothing at all
 */
export function filteredList({ label, source, row, words, empty }) {
  const rows = [];
  const list = h("ul", { class: "rows" });
  const found = h("p", { class: "quiet found", role: "status" });
  const input = h("input", {
    type: "search", id: "filter", placeholder: label, "aria-label": label, oninput: narrow,
  });
  const search = h("div", { class: "search", hidden: true }, input, found);

  function narrow() {
    const wanted = input.value.trim().toLowerCase();
    let count = 0;
    for (const [text, item] of rows) {
      item.hidden = !text.includes(wanted);
      count += item.hidden ? 0 : 1;
    }
    found.textContent = t("found", { n: count });
  }

  async function fill() {
    for await (const items of source) {
      const fresh = items.map((item) => [words(item).toLowerCase(), row(item)]);
      rows.push(...fresh);
      list.append(...fresh.map(([, item]) => item));
      search.hidden = rows.length < 2;
      if (input.value) narrow();
      else found.textContent = t("found", { n: rows.length });
    }
    if (!rows.length) list.replaceWith(empty);
    box.dataset.complete = "true";
  }

  const box = h("div", { class: "filtered" }, search, list);
  fill().catch(complain);
  return box;
}
