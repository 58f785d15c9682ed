/** The reader's language: texts, numbers and times. */

export const LANGUAGES = { en: "English", id: "Bahasa Indonesia" };
const KEY = "language";

export const language = chosen();
const texts = (await import(`./texts.${language}.js`)).default;
/** With the reader's own region, if it is one of the language: 21:30 rather than 9:30 PM. */
const locale = navigator.languages.find((each) => each.toLowerCase().startsWith(language)) ?? language;
const plurals = new Intl.PluralRules(language);
const numbers = new Intl.NumberFormat(locale);
const percents = new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 1 });
const moments = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });
const times = new Intl.DateTimeFormat(locale, { timeStyle: "short" });
const spans = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });

function chosen() {
  const wanted = [localStorage.getItem(KEY), ...navigator.languages];
  const codes = wanted.map((code) => (code ?? "").toLowerCase().split("-")[0].replace(/^in$/, "id"));
  return codes.find((code) => code in LANGUAGES) ?? "en";
}

/** Choose another language; remembered, and shown by loading the page anew. */
export function choose(code) {
  localStorage.setItem(KEY, code);
  location.reload();
}

/** Return a text. `{name}` stands for a value; with `n`, the form for that many is taken. */
export function t(key, values = {}) {
  const plural = values.n === undefined ? undefined : texts[`${key}.${plurals.select(values.n)}`];
  const text = plural ?? texts[key] ?? (values.n === undefined ? undefined : texts[`${key}.other`]);
  if (text === undefined) throw new Error(`There is no text ${key}.`);
  return text.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name];
    return typeof value === "number" ? number(value) : value;
  });
}

/** Return the text for a code of the API, or null for one that is not known here. */
export function known(group, code) {
  return texts[`${group}.${code}`] ?? null;
}

/** Return an API's sentence in the reader's language. Its numbers, in order, are {0}, {1}, … */
export function sentence(problem) {
  const text = language === "en" ? null : known("problem", problem.code);
  const found = problem.message?.match(/\d+/g) ?? [];
  const places = text?.match(/\{\d\}/g) ?? [];
  if (!text || places.length > found.length) {
    return problem.message || known("problem", problem.code) || t("problem.unknown");
  }
  return text.replace(/\{(\d)\}/g, (_, place) => number(Number(found[place])));
}

/** Return what to do about a problem, in the reader's language. */
export function advice(problem) {
  return (language === "en" ? null : known("action", problem.code)) ?? problem.action ?? "";
}

export function number(value) {
  return numbers.format(value);
}

export function percent(value) {
  return percents.format(value);
}

export function moment(iso) {
  return moments.format(new Date(iso));
}

export function clockTime(iso) {
  return times.format(new Date(iso));
}

/** Return how far a time is from now: "3 hours ago". */
export function ago(iso) {
  const seconds = (new Date(iso) - Date.now()) / 1000;
  const [unit, size] = [["day", 86_400], ["hour", 3600], ["minute", 60]]
    .find(([, each]) => Math.abs(seconds) >= each) ?? ["second", 1];
  return Math.abs(seconds) < 45 ? t("time.now") : spans.format(Math.round(seconds / size), unit);
}

/** Return a duration: "1 min 20 s". */
export function duration(seconds) {
  if (seconds < 10) return t("time.seconds", { s: number(Math.round(seconds * 10) / 10) });
  const whole = Math.round(seconds);
  if (whole < 60) return t("time.seconds", { s: whole });
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return t("time.minutes", { m: minutes, s: whole % 60 });
  return t("time.hours", { h: Math.floor(minutes / 60), m: minutes % 60 });
}

export function weekday(day) {
  // 2 August 2026 is a Sunday, which cron calls 0.
  return new Intl.DateTimeFormat(locale, { weekday: "long" }).format(new Date(2026, 7, 2 + day));
}
