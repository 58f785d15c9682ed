/** How a run stands or how it ended, in few words. */

import { h } from "./elements.js";
import { t } from "./language.js";

export const ENDED = new Set(["completed", "failed", "cancelled"]);
export const LOSSES = ["missing_email", "invalid", "no_consent", "excluded", "duplicate", "unchanged"];
export const REFUSALS = ["refused", "suppressed"];
/** Not sent, and nothing is amiss: they are there already, or left out on purpose. */
export const EXPECTED = new Set(["unchanged", "duplicate", "excluded"]);

const TONES = {
  completed: "good", failed: "bad", cancelled: "plain", held: "warn",
};

export function isActive(run) {
  return !ENDED.has(run.state) && run.state !== "held";
}

export function tone(run) {
  return isAmiss(run) ? "bad" : TONES[run.state] ?? "live";
}

/** Say whether a run that should be done does not add up; one that was cut short never does. */
export function isAmiss(run) {
  return run.state === "completed" && run.reconciled === false;
}

/** Return the state as a small label. */
export function badge(run) {
  const state = isAmiss(run) ? "unreconciled" : run.state;
  return h("span", { class: `badge ${tone(run)}` }, t(`state.${state}`));
}

/** Return how many of a run's rows did not reach the account, those left out on purpose aside. */
export function notSent(counts) {
  return [...LOSSES, ...REFUSALS]
    .filter((name) => !EXPECTED.has(name))
    .reduce((sum, name) => sum + counts[name], 0);
}

/** Return what came of a run as a sentence. */
export function summary(run) {
  const { counts } = run;
  if (run.state === "held") return t("summary.held", { n: counts.staged });
  if (run.state === "completed" && !counts.staged) return t("summary.nothing_new");
  if (run.state === "completed" || (run.state === "failed" && counts.accepted)) {
    const lost = notSent(counts);
    const accepted = t("summary.accepted", { n: counts.accepted });
    return lost ? `${accepted} · ${t("summary.not_sent", { n: lost })}` : accepted;
  }
  if (run.state === "failed" || run.state === "cancelled") return t("summary.nothing_sent");
  return t("summary.under_way", { n: counts.staged || counts.read });
}

/** Return a bar that says how far a run has come. */
export function progressBar(run) {
  const fill = h("div", { class: "fill" });
  fill.style.width = `${run.progress}%`;
  return h("div", {
    class: `progress ${tone(run)}`, role: "progressbar", "aria-label": t("run.progress"),
    "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": String(run.progress),
  }, fill);
}

/** Return when an export starts by itself, in words. */
export function timing(line) {
  if (line.disabled_reason) return t(`disabled.${line.disabled_reason}`);
  if (!line.enabled) return t("disabled");
  if (line.schedule === "refresh") return t("timing.refresh");
  if (line.schedule === "manual") return t("timing.manual");
  return null;
}
