/** Who is signed in and what they may do; the API decides, this only saves them the attempt. */

import { get } from "./api.js";

const ORDER = ["Viewer", "Contributor", "Administrator"];

export const session = await get("/api/session");

export function may(role) {
  const needed = ORDER.indexOf(role);
  return session.roles.some((own) => ORDER.indexOf(own) >= needed);
}

/** Say whether the signed-in person may save and run exports of a connection. */
export function mayUse(connection) {
  return may("Administrator")
    || (may("Contributor") && (connection?.usable_by ?? []).includes("Contributor"));
}
