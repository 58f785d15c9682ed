/** The app's API as the console speaks it. */

const KEPT_MS = 5 * 60_000;
const kept = new Map();

/** What the API answered instead of doing what it was asked. */
export class Problem extends Error {
  constructor(status, content) {
    super(content.detail ?? "");
    this.status = status;
    this.code = content.code ?? `http_${status}`;
    this.action = content.action ?? "";
    this.faults = content.errors ?? [];
    this.location = content.location ?? null;
  }
}

/** Send a request; return content, ETag and location of the answer, or throw a `Problem`. */
export async function send(method, path, { body, etag, signal } = {}) {
  const headers = { Accept: "application/json", "X-Requested-With": "console" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (etag) headers["If-Match"] = etag;
  const answer = await fetch(path, {
    method, headers, signal,
    redirect: "manual", // the sign-in page: the session has ended
    body: body === undefined ? undefined : JSON.stringify(body),
  }).catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { code: "offline" });
  });
  if (answer.type === "opaqueredirect") throw new Problem(401, { code: "not_signed_in" });
  const isJson = /json/.test(answer.headers.get("Content-Type") ?? "");
  const content = isJson ? await answer.json() : null;
  if (!answer.ok) throw new Problem(answer.status, content ?? {});
  return { content, etag: answer.headers.get("ETag"), location: answer.headers.get("Location") };
}

export async function get(path, signal) {
  return (await send("GET", path, { signal })).content;
}

/** Yield the pages of a collection, each a list of items. */
export async function* pages(path, signal) {
  for (let next = path; next;) {
    const page = await get(next, signal);
    yield page.items;
    next = page.next;
  }
}

/** Return every item of a collection. */
export async function all(path, signal) {
  const items = [];
  for await (const page of pages(path, signal)) items.push(...page);
  return items;
}

/** Return a collection that costs calls to Constant Contact; asked again after five minutes. */
export function lookUp(path) {
  const known = kept.get(path);
  if (known && Date.now() - known.at < KEPT_MS) return known.items;
  const items = all(path);
  kept.set(path, { at: Date.now(), items });
  items.catch(() => kept.delete(path));
  return items;
}

/** Forget what was looked up, for somebody who has just made a list over there. */
export function forgetLookUps() {
  kept.clear();
}
