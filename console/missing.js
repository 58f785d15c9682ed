/** The page for an address that names none. */

import { h } from "./elements.js";
import { t } from "./language.js";
import { head } from "./shell.js";

export function show() {
  return [head(t("missing.title")), h("p", {}, h("a", { href: "#/" }, t("missing.home")))];
}
