/** What is around every page: the way about, the language, and messages that pass. */

import { button, h, svg } from "./elements.js";
import { faultText } from "./faults.js";
import { advice, choose, known, language, LANGUAGES, sentence, t } from "./language.js";

const PLACES = [
  ["", "nav.home", "M3 11 12 4l9 7v9h-6v-6H9v6H3z"],
  ["exports", "nav.exports", "M3 5h8c5 0 5 7 10 7M3 19h8c5 0 5-7 10-7m-3-3 3 3-3 3"],
  ["runs", "nav.runs", "M4 20V10m5 10V4m5 16v-8m5 8V7"],
  ["connections", "nav.connections", "M9 15l6-6M8 11l-3 3a4 4 0 0 0 5 5l3-3m3-3 3-3a4 4 0 0 0-5-5l-3 3"],
];
const SHOWN_MS = 8000;

/** Return the elements of the body. */
export function frame(session) {
  return [
    h("a", { class: "skip", href: "#main", onclick: skip }, t("skip")),
    h("header", { class: "side" },
      h("a", { class: "mark", href: "#/" }, mark(), h("span", {}, t("product"))),
      h("nav", { "aria-label": t("nav.label") },
        h("ul", {}, PLACES.map(([place, key, path]) =>
          h("li", {}, h("a", { href: `#/${place}`, "data-place": place }, icon(path), t(key)))))),
      h("div", { class: "foot" },
        h("label", { class: "quiet", for: "language" }, t("language")),
        h("select", { id: "language", value: language, onchange: (event) => choose(event.target.value) },
          Object.entries(LANGUAGES).map(([code, name]) => h("option", { value: code, lang: code }, name))),
        h("p", { class: "who" }, t("signed_in_as", { name: session.name })),
        h("p", { class: "who" }, t("version", { version: session.version })))),
    h("main", { id: "main", tabindex: "-1" }),
    h("div", { id: "messages", role: "status", "aria-live": "polite" }),
  ];
}

function skip(event) {
  event.preventDefault();
  document.querySelector("main").focus();
}

export function markCurrent(place) {
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.place === place) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/** Return the head of a page: its heading, what stands under it, and what can be done. */
export function head(title, { under, actions, back } = {}) {
  return h("div", { class: "head" },
    back && h("a", { class: "back", href: back[0] }, back[1]),
    h("div", { class: "head-row" },
      h("div", {}, h("h1", { tabindex: "-1" }, title), under && h("p", { class: "under" }, under)),
      actions && h("div", { class: "actions" }, actions)));
}

/** Show a message for a while; screen readers say it. */
export function say(text, tone = "plain") {
  const message = h("div", { class: `message ${tone}` },
    h("p", {}, text),
    button("×", () => message.remove(), { class: "plain", "aria-label": t("close") }));
  document.getElementById("messages").append(message);
  setTimeout(() => message.remove(), SHOWN_MS);
}

/** Return a problem as a block: what is wrong and what to do. */
export function notice(problem, tone = "bad") {
  const action = advice(problem);
  return h("div", { class: `notice ${tone}` },
    h("p", {}, sentence(problem)),
    action && h("p", { class: "what-to-do" }, action));
}

/** Return what to show instead of a page that could not be had. */
export function apology(problem) {
  const text = known("problem", problem.code);
  return [
    head(t(problem.status === 404 ? "missing.title" : "trouble.title")),
    h("div", { class: "notice bad", role: "alert" },
      h("p", {}, text ?? (problem.message || t("problem.unknown")))),
    h("p", {}, button(t("reload"), () => location.reload())),
  ];
}

/** Say why something could not be done. */
export function complain(problem) {
  if (problem.name === "AbortError") return;
  if (!("code" in problem)) throw problem;
  const faults = new Set(problem.faults.map(faultText)); // two lists may be gone, which is said once
  say([sentence(problem), ...faults, advice(problem)].filter(Boolean).join(" "), "bad");
}

/** Return a line drawing, for the eye only. */
export function icon(path) {
  return svg("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" }, svg("path", { d: path }));
}

function mark() {
  return svg("svg", { viewBox: "0 0 32 32", class: "mark-sign", "aria-hidden": "true" },
    svg("path", { class: "mark-main", d: "M2 6h9c8 0 8 10 19 10v6C19 22 18 17 11 17H2z" }),
    svg("path", { class: "mark-side", d: "M2 20h7c5 0 6 2 7 7h-5c-1-2-2-3-4-3H2z" }));
}

/** Show the current page anew. */
export function refresh() {
  window.dispatchEvent(new HashChangeEvent("hashchange"));
}
