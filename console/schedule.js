/** When an export runs: five-field cron as people choose it and read it. */

import { choice, h } from "./elements.js";
import { t, weekday } from "./language.js";

const EVERY = ["daily", "weekdays", "weekly", "monthly", "cron"];

/** Return { every, time, day } for a cron, `every` being "cron" for one that is out of the ordinary. */
export function read(cron) {
  const found = /^(\d{1,2}) (\d{1,2}) (\*|\d{1,2}) \* (\*|1-5|[0-6])$/.exec(cron.trim());
  if (!found || (found[3] !== "*" && found[4] !== "*")) return { every: "cron", cron };
  const [, minute, hour, date, day] = found;
  const time = `${hour.padStart(2, "0")}:${minute.padStart(2, "0")}`;
  if (date !== "*") return { every: "monthly", time, day: Number(date) };
  if (day === "*") return { every: "daily", time };
  return day === "1-5" ? { every: "weekdays", time } : { every: "weekly", time, day: Number(day) };
}

export function write({ every, time, day, cron }) {
  if (every === "cron") return cron;
  const [hour, minute] = (time || "06:00").split(":").map(Number);
  const at = `${minute} ${hour}`;
  return {
    daily: `${at} * * *`, weekdays: `${at} * * 1-5`,
    weekly: `${at} * * ${day ?? 1}`, monthly: `${at} ${day ?? 1} * *`,
  }[every];
}

/** Return an export's schedule in words. */
export function scheduleText({ schedule, time_zone: zone }) {
  if (schedule === "refresh" || schedule === "manual") return t(`timing.${schedule}`);
  const { every, time, day, cron } = read(schedule);
  if (every === "cron") return t("timing.cron", { cron, zone });
  return t(`timing.${every}`, { time, zone, day: every === "weekly" ? weekday(day) : String(day ?? "") });
}

/** Return the fields for a schedule; *changed* gets { schedule, time_zone }. */
export function scheduleField(order, changed) {
  const kind = ["refresh", "manual"].includes(order.schedule) ? order.schedule : "clock";
  const clock = kind === "clock" ? read(order.schedule) : { every: "daily", time: "06:00" };
  let zone = kind === "clock" ? order.time_zone : Intl.DateTimeFormat().resolvedOptions().timeZone;
  const details = h("div", { class: "clock", "data-path": "schedule" });

  function tell(chosen) {
    if (chosen === "clock") changed({ schedule: write(clock), time_zone: zone });
    else changed({ schedule: chosen, time_zone: order.time_zone });
  }

  function set(changes) {
    Object.assign(clock, changes);
    if ("every" in changes) show();
    tell("clock");
  }

  function show() {
    const { every } = clock;
    const days = every === "weekly" ? [1, 2, 3, 4, 5, 6, 0].map((day) => [day, weekday(day)])
      : Array.from({ length: 28 }, (_, index) => [index + 1, String(index + 1)]);
    details.replaceChildren(...[
      small(t("schedule.every"), h("select", { value: every, onchange: (event) => set({ every: event.target.value, day: 1, cron: write(clock) }) },
        EVERY.map((name) => h("option", { value: name }, t(`schedule.${name}`))))),
      ["weekly", "monthly"].includes(every) && small(t("schedule.day"),
        h("select", { value: String(clock.day ?? 1), onchange: (event) => set({ day: Number(event.target.value) }) },
          days.map(([day, name]) => h("option", { value: String(day) }, name)))),
      every === "cron"
        ? small(t("schedule.cron.label"), h("input", { type: "text", value: clock.cron ?? "", spellcheck: "false", class: "mono", oninput: (event) => set({ cron: event.target.value }) }))
        : small(t("schedule.time"), h("input", { type: "time", value: clock.time, required: true, onchange: (event) => set({ time: event.target.value }) })),
      small(t("schedule.zone"), h("select", { value: zone, onchange: (event) => {
        zone = event.target.value;
        tell("clock");
      } }, zones(zone).map((name) => h("option", { value: name }, name)))),
    ].filter(Boolean));
  }

  show();
  details.hidden = kind !== "clock";
  return h("fieldset", { class: "section" },
    h("legend", {}, t("form.schedule")),
    ["refresh", "clock", "manual"].map((name) => choice({
      type: "radio", name: "schedule", value: name, checked: kind === name,
      onchange: () => {
        details.hidden = name !== "clock";
        tell(name);
      },
    }, t(`schedule.${name}`), t(`schedule.${name}.hint`))),
    details);
}

function small(label, control) {
  return h("label", { class: "small-field" }, h("span", {}, label), control);
}

function zones(own) {
  return [...new Set(["UTC", own, ...Intl.supportedValuesOf("timeZone")])];
}
