/** Elements made from values, never from markup: h("p", { class: "note" }, "text", child). */

const SVG = "http://www.w3.org/2000/svg";
const PROPERTIES = new Set(["checked", "value"]);

export function h(name, attributes, ...children) {
  return furnish(document.createElement(name), attributes, children);
}

export function svg(name, attributes, ...children) {
  return furnish(document.createElementNS(SVG, name), attributes, children);
}

function furnish(node, attributes, children) {
  const given = Object.entries(attributes ?? {})
    .filter(([, value]) => value !== null && value !== undefined && value !== false);
  for (const [name, value] of given) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (!PROPERTIES.has(name)) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child || child === 0));
  // A select takes its value from options that are there already.
  for (const [name, value] of given) if (PROPERTIES.has(name)) node[name] = value;
  return node;
}

let count = 0;

/** Return an id that no other element of the page has. */
export function freshId(prefix) {
  count += 1;
  return `${prefix}-${count}`;
}

/** Return a control with its label above, a hint below, and a place for what is wrong with it. */
export function field(label, control, { hint, path, optional } = {}) {
  control.id ||= freshId("control");
  const hintId = hint && freshId("hint");
  if (hint) control.setAttribute("aria-describedby", hintId);
  return h("div", { class: "field", "data-path": path },
    h("label", { for: control.id }, label, optional && h("span", { class: "optional" }, optional)),
    hint && h("p", { class: "hint", id: hintId }, hint),
    control);
}

/** Return a check box or radio button with its label and an explanation. */
export function choice(attributes, label, hint) {
  const id = freshId("choice");
  const hintId = hint && freshId("hint");
  return h("div", { class: "choice" },
    h("input", { ...attributes, id, "aria-describedby": hintId }),
    h("div", {},
      h("label", { for: id }, label),
      hint && h("p", { class: "hint", id: hintId }, hint)));
}

export function button(label, onclick, attributes) {
  return h("button", { type: "button", onclick, ...attributes }, label);
}
