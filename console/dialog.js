/** A question that has to be answered before anything goes on. */

import { button, h } from "./elements.js";
import { t } from "./language.js";

/** Ask; return whether the answer was yes. *content* stands below the question. */
export function ask(question, { content = [], yes, danger = false } = {}) {
  return new Promise((resolve) => {
    let answer = false;
    const finish = (value) => {
      answer = value;
      dialog.close();
    };
    const dialog = h("dialog", { "aria-labelledby": "question" },
      h("h2", { id: "question" }, question),
      h("div", { class: "dialog-content" }, content),
      h("div", { class: "actions end" },
        button(t("back"), () => finish(false), { autofocus: true }),
        button(yes, () => finish(true), { class: danger ? "danger" : "primary" })));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
