/** What the API finds wrong with a form, shown beside the fields it names. */

import { freshId, h } from "./elements.js";
import { known, t } from "./language.js";

/**
 * Show *faults* at the fields of *form*; a field says its path in `data-path`.
 *
 * @param only a predicate for paths: others are not shown yet
 * @param focus whether to go to the first field at fault
 * @returns the faults that no field of the form has
 */
export function showFaults(form, faults, { only = () => true, focus = false } = {}) {
  for (const old of form.querySelectorAll(".fault")) clear(old);
  const fields = [...form.querySelectorAll("[data-path]")];
  const homeless = [];
  for (const fault of faults) {
    const field = nearest(fields, fault.field);
    if (!field) homeless.push(fault);
    else if (only(field.dataset.path)) place(field, fault);
  }
  if (focus) form.querySelector("[aria-invalid], .fault")?.focus();
  return homeless;
}

/** Return a fault in the reader's language. */
export function faultText({ code, message, field }) {
  const place = field.replace(/\.\d+/g, "");
  return known("fault", `${place}.${code}`) ?? known("fault", `${place.split(".")[0]}.${code}`)
    ?? known("fault", code) ?? message ?? t("problem.unknown");
}

function nearest(fields, path) {
  return fields.filter((each) => path === each.dataset.path || path.startsWith(`${each.dataset.path}.`))
    .sort((a, b) => b.dataset.path.length - a.dataset.path.length)[0];
}

function place(field, fault) {
  const text = faultText(fault);
  if ([...field.querySelectorAll(":scope > .fault")].some((each) => each.textContent === text)) return;
  const line = h("p", { class: "fault", id: freshId("fault"), tabindex: "-1" }, text);
  field.append(line);
  const control = field.querySelector("input:not([type=radio]), select, textarea");
  if (!control) return;
  control.setAttribute("aria-invalid", "true");
  const described = control.getAttribute("aria-describedby");
  control.setAttribute("aria-describedby", [described, line.id].filter(Boolean).join(" "));
}

function clear(line) {
  for (const control of line.parentElement.querySelectorAll("[aria-invalid]")) {
    control.removeAttribute("aria-invalid");
    const kept = (control.getAttribute("aria-describedby") ?? "").split(" ")
      .filter((id) => id && !id.startsWith("fault-"));
    if (kept.length) control.setAttribute("aria-describedby", kept.join(" "));
    else control.removeAttribute("aria-describedby");
  }
  line.remove();
}
