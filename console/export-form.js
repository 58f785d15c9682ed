/** An export to set up: proposed where it can be, checked by the API while one types. */

import { all, forgetLookUps, lookUp, send } from "./api.js";
import { consentField } from "./consent-field.js";
import { button, choice, field, h } from "./elements.js";
import { excludedField } from "./excluded-field.js";
import { faultText, showFaults } from "./faults.js";
import { t } from "./language.js";
import { mappingField } from "./mapping-field.js";
import { find, start } from "./orders.js";
import { scheduleField } from "./schedule.js";
import { segmentsField } from "./segments-field.js";
import { mayUse } from "./session.js";
import { complain, head, notice, say } from "./shell.js";

const CHECK_AFTER_MS = 450;
const STANDARD = ["email", "first_name", "last_name", "job_title", "company_name", "phone", "street",
  "city", "state", "zip", "country", "birthday", "anniversary"];

const BLANK = {
  display_name: "", enabled: true, connection_id: "", segments: [{ name: "", list_ids: [] }],
  exclude_segments: [], mapping: {}, consent: null, mode: "add_and_update", only_changes: true,
  schedule: "refresh", time_zone: "UTC",
  guard: { max_shrink_percent: 30, max_growth_percent: 50, max_removed_percent: 20 }, two_people: false,
};

export async function show({ parameters: [id], purpose, signal }) {
  const [before, connections, segments] = await Promise.all([
    id ? send("GET", `/api/exports/${id}`, { signal }) : null,
    all("/api/connections", signal), all("/api/segments", signal),
  ]);
  const usable = connections.filter((each) => each.state === "connected" && mayUse(each));
  const order = { ...structuredClone(BLANK), ...structuredClone(before?.content ?? {}) };
  if (purpose === "copy") {
    delete order.id;
    order.display_name = t("form.copy_of", { name: order.display_name }).slice(0, 100);
    order.enabled = true;
  }
  if (!order.connection_id && usable.length === 1) order.connection_id = usable[0].id;
  const form = new ExportForm(order, { before, purpose, usable, segments, signal });
  await form.look();
  const editing = purpose === "edit";
  return [
    head(editing ? t("form.edit", { name: before.content.display_name }) : t("exports.new"), {
      back: editing ? [`#/exports/${id}`, before.content.display_name] : ["#/exports", t("nav.exports")],
      under: t("form.under"),
    }),
    !usable.length && h("div", { class: "notice warn" }, h("p", {}, t("form.no_connection")),
      h("p", {}, h("a", { href: "#/connections" }, t("nav.connections")))),
    editing && order.disabled_reason
      && h("div", { class: "notice warn" }, h("p", {}, t(`form.${order.disabled_reason}`))),
    form.element,
  ].filter(Boolean);
}

class ExportForm {
  #timer;
  #checking = new AbortController();
  #touched = new Set();
  #tried = false;

  constructor(order, context) {
    Object.assign(this, { order, ...context });
    this.lists = null;
    this.fields = STANDARD.map((key) => ({ key, label: key, type: "standard" }));
    this.columns = [];
    this.proposed = {};
    this.described = new Map();
    this.homeless = h("div", { class: "homeless", role: "alert" });
    this.trouble = h("div", { role: "status" });
    this.element = h("form", { class: "form wide", novalidate: true, onsubmit: (event) => this.#submit(event) });
    this.element.addEventListener("focusout", (event) => this.#touch(event.target));
    this.element.addEventListener("change", (event) => this.#touch(event.target));
  }

  /** Look up what there is to choose from, and show the form. */
  async look() {
    await Promise.all([this.#lookAtAccount(), this.#lookAtSegment()]);
    this.show();
  }

  #isConnected() {
    return this.usable.some((each) => each.id === this.order.connection_id);
  }

  async #lookAtAccount() {
    const { connection_id: id } = this.order;
    this.lists = null;
    if (!this.#isConnected()) return;
    try {
      const [lists, fields] = await Promise.all(["lists", "fields"].map((what) => lookUp(`/api/connections/${id}/${what}`)));
      this.lists = lists;
      this.fields = fields;
      this.trouble.replaceChildren();
    } catch (problem) {
      this.trouble.replaceChildren(notice(problem));
    }
  }

  /** Take the columns of the first segment, and its mapping as long as there is no other. */
  async #lookAtSegment() {
    const name = this.order.segments.find((target) => target.name)?.name;
    if (!name) return;
    if (!this.described.has(name)) {
      const path = `/api/segments/${name.split("/").map(encodeURIComponent).join("/")}`;
      this.described.set(name, await find(path).catch(complain) ?? null);
    }
    const found = this.described.get(name);
    this.columns = found?.columns ?? [];
    this.proposed = found?.mapping ?? {};
    if (found?.layout === "L3" && found.format) {
      this.order.segments = this.order.segments.map((target) =>
        (target.name === name && !target.format ? { ...target, format: found.format } : target));
    }
    if (!Object.values(this.order.mapping).some(Boolean)) this.order.mapping = { ...this.proposed };
    if (!this.order.display_name && !this.#touched.has("display_name")) {
      this.order.display_name = name.split("/").at(-1).replaceAll("_", " ").slice(0, 100);
    }
  }

  show() {
    const { order } = this;
    const name = h("input", { type: "text", value: order.display_name, maxlength: "100", required: true,
      autocomplete: "off", oninput: () => this.#change({ display_name: name.value }) });
    this.mappingPlace = h("div", {}, this.#mapping());
    this.consentPlace = h("div", {}, this.#consent());
    this.element.replaceChildren(
      this.trouble,
      h("fieldset", { class: "section" },
        h("legend", {}, t("form.what")),
        this.#connection(),
        field(t("form.name"), name, { path: "display_name", hint: t("form.name.hint") })),
      segmentsField({
        order, segments: this.segments, lists: this.lists,
        changed: () => this.#segmentsChanged(),
        reload: () => {
          forgetLookUps();
          this.look();
        },
      }),
      this.mappingPlace,
      scheduleField(order, (changes) => this.#change(changes)),
      this.#more(),
      this.homeless,
      h("div", { class: "save-bar" },
        button(t("form.save_and_preview"), null, { type: "submit", class: "primary", value: "preview" }),
        button(t("form.save"), null, { type: "submit", value: "save" }),
        h("a", { class: "button plain", href: order.id ? `#/exports/${order.id}` : "#/exports" }, t("cancel")),
        h("p", { class: "quiet" }, t("form.save.hint"))));
  }

  #connection() {
    const chosen = h("select", { value: this.#isConnected() ? this.order.connection_id : "", onchange: async () => {
      this.#change({ connection_id: chosen.value });
      await this.look();
      this.element.querySelector("select")?.focus();
    } },
    h("option", { value: "" }, t("form.connection.choose")),
    this.usable.map((each) => h("option", { value: each.id }, each.display_name)));
    return field(t("form.connection"), chosen, { path: "connection_id" });
  }

  async #segmentsChanged() {
    const [had, wasCalled] = [this.columns, this.order.display_name];
    this.#change({});
    await this.#lookAtSegment();
    if (wasCalled !== this.order.display_name) {
      this.element.querySelector("[data-path=display_name] input").value = this.order.display_name;
    }
    if (had !== this.columns) {
      this.mappingPlace.replaceChildren(this.#mapping());
      this.consentPlace.replaceChildren(this.#consent());
      this.#change({});
    }
  }

  #mapping() {
    return mappingField({
      order: this.order, columns: this.columns, fields: this.fields, proposed: this.proposed,
      changed: () => this.#change({}),
    });
  }

  #more() {
    const { order } = this;
    return h("details", { class: "section", open: order.mode === "mirror" || Boolean(order.consent) || order.exclude_segments.length > 0 },
      h("summary", {}, h("h2", {}, t("form.more")), h("span", { class: "hint" }, t("form.more.hint"))),
      h("fieldset", { "data-path": "mode" }, h("legend", {}, t("form.mode")),
        ["add_and_update", "mirror"].map((mode) => choice({
          type: "radio", name: "mode", value: mode, checked: order.mode === mode, onchange: () => this.#change({ mode }),
        }, t(`mode.${mode}`), t(`mode.${mode}.hint`)))),
      this.consentPlace,
      excludedField({ order, segments: this.segments, changed: () => this.#change({}) }),
      h("fieldset", {}, h("legend", {}, t("form.care")),
        choice({ type: "checkbox", checked: order.only_changes, onchange: (event) => this.#change({ only_changes: event.target.checked }) },
          t("form.only_changes"), t("form.only_changes.hint")),
        choice({ type: "checkbox", checked: order.two_people, onchange: (event) => this.#change({ two_people: event.target.checked }) },
          t("form.two_people"), t("form.two_people.hint")),
        h("p", { class: "hint" }, t("form.guard.hint")),
        h("div", { class: "guards" }, ["max_shrink_percent", "max_growth_percent", "max_removed_percent"].map((name) =>
          field(t(`form.guard.${name}`), h("input", {
            type: "number", min: "0", step: "any", inputmode: "decimal", value: String(order.guard[name]),
            oninput: (event) => this.#change({ guard: { ...order.guard, [name]: event.target.value === "" ? null : Number(event.target.value) } }),
          }), { path: `guard.${name}` })))));
  }

  #consent() {
    return consentField({ order: this.order, columns: this.columns, changed: () => this.#change({}) });
  }

  #touch(control) {
    for (let at = control; at && at !== this.element; at = at.parentElement) {
      if (at.dataset?.path) this.#touched.add(at.dataset.path);
    }
  }

  /** Take *changes* up, and ask the API what it thinks once nobody has typed for a moment. */
  #change(changes) {
    Object.assign(this.order, changes);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#check(), CHECK_AFTER_MS);
  }

  async #check() {
    this.#checking.abort();
    this.#checking = new AbortController();
    const { signal } = this.#checking;
    try {
      const { content } = await send("POST", "/api/exports/check", { body: this.#body(), signal });
      if (!signal.aborted && !this.signal.aborted) this.#showFaults(content.errors);
    } catch (problem) {
      if (!signal.aborted) this.#showTrouble(problem);
    }
  }

  #showFaults(faults, focus = false) {
    const shownYet = (path) => this.#tried || this.#touched.has(path);
    const homeless = showFaults(this.element, faults, { only: shownYet, focus });
    this.homeless.replaceChildren(...(this.#tried ? homeless : []).map((fault) => h("p", { class: "fault" }, faultText(fault))));
  }

  #showTrouble(problem) {
    if (problem.status === 412) this.homeless.replaceChildren(h("p", { class: "fault" }, t("form.changed_meanwhile")));
    else complain(problem);
  }

  /** Return the order as the API takes it: what only wanted for a connection goes on with one. */
  #body() {
    const enabled = this.order.enabled || Boolean(this.order.disabled_reason && this.#isConnected());
    const segments = this.order.segments.map((target) => Object.fromEntries(Object.entries(target).filter(([, value]) => value ?? false)));
    return { ...this.order, enabled, mapping: { email: "", ...this.order.mapping }, segments };
  }

  async #submit(event) {
    event.preventDefault();
    clearTimeout(this.#timer);
    this.#checking.abort();
    this.#tried = true;
    const preview = event.submitter?.value === "preview";
    const buttons = this.element.querySelectorAll(".save-bar button");
    for (const each of buttons) each.disabled = true;
    try {
      const editing = this.purpose === "edit";
      const { content } = editing
        ? await send("PUT", `/api/exports/${this.order.id}`, { body: this.#body(), etag: this.before.etag })
        : await send("POST", "/api/exports", { body: this.#body() });
      say(t("saved"), "good");
      location.hash = `#/exports/${content.id}`; // whatever comes of the preview, this form is done
      if (preview && content.enabled) await start(content.id, { hold: true });
    } catch (problem) {
      if (problem.faults?.length) this.#showFaults(problem.faults, true);
      else this.#showTrouble(problem);
    } finally {
      for (const each of buttons) each.disabled = false;
    }
  }
}
