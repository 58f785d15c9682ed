/** Starts the console: who is signed in, the frame, and the page that the address names. */

import { h } from "./elements.js";
import { language, t, LANGUAGES } from "./language.js";
import { apology, frame, markCurrent, say } from "./shell.js";

const PAGES = [
  [/^$/, "home"],
  [/^exports$/, "exports"],
  // No slug has an underscore, so an export may be called "new".
  [/^exports\/_new$/, "export-form"],
  [/^exports\/_new\/([a-z0-9-]+)$/, "export-form", "copy"],
  [/^exports\/([a-z0-9-]+)$/, "export"],
  [/^exports\/([a-z0-9-]+)\/edit$/, "export-form", "edit"],
  [/^runs$/, "runs"],
  [/^runs\/([a-z0-9-]+)\/([0-9A-Za-z-]+)$/, "run"],
  [/^connections$/, "connections"],
  [/^connections\/_new$/, "connection-form"],
  [/^connections\/([a-z0-9-]+)\/edit$/, "connection-form", "edit"],
];

/** Why an account was not connected, where there is more to say than that. */
const EXPLAINED = /^(account_unknown|consent_denied|invalid|no_refresh_token|other_account|setting_invalid)$/;

let leaving = new AbortController();
let first = true;

document.documentElement.lang = language in LANGUAGES ? language : "en";
try {
  const { session } = await import("./session.js");
  document.body.replaceChildren(...frame(session));
  report(new URLSearchParams(location.search));
  window.addEventListener("hashchange", show);
  await show();
} catch (problem) {
  document.title = t("product");
  document.body.replaceChildren(h("main", { class: "alone" }, apology(problem)));
}

/** Show the page that the address names and move the focus to its heading. */
async function show() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [found, name, purpose] = PAGES.find(([pattern]) => pattern.test(path)) ?? [/^/, "missing"];
  const parameters = found.exec(path).slice(1);
  markCurrent(path.split("/")[0]);
  const main = document.querySelector("main");
  main.setAttribute("aria-busy", "true");
  let content;
  try {
    const page = await import(`./${name}.js`);
    content = await page.show({ parameters, purpose, query: new URLSearchParams(query), signal });
  } catch (problem) {
    if (signal.aborted) return;
    content = apology(problem);
  }
  if (signal.aborted) return;
  main.replaceChildren(...[content].flat());
  main.removeAttribute("aria-busy");
  const heading = main.querySelector("h1");
  document.title = [heading?.textContent, t("product")].filter(Boolean).join(" · ");
  if (!first) {
    heading?.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }
  first = false;
}

/** Say how a visit to Constant Contact ended, once. */
function report(query) {
  const refused = query.get("not_connected");
  if (query.has("connected")) say(t("connected.done"), "good");
  else if (refused) say(t(EXPLAINED.test(refused) ? `connected.${refused}` : "connected.failed"), "bad");
  if (query.size) {
    history.replaceState(null, "", `${location.pathname}${location.hash || "#/connections"}`);
  }
}
