/** Who is signed in and what they may do; the API decides, this only saves them the attempt. */

import { get } from "./api.js";

const ORDER = ["Viewer", "Contributor", "Administrator"];

export const session = await get("/api/session");

export function may(role) {
  const needed = ORDER.indexOf(role);
  return session.roles.some((own) => ORDER.indexOf(own) >= needed);
}

/**
 * Say whether the signed-in person may save and run exports of a connection. Of one that was
 * removed nobody can tell here; its exports are there to be repaired, so the API is asked.
 */
export function mayUse(connection) {
  return may("Administrator")
    || (may("Contributor") && (!connection || connection.usable_by.includes("Contributor")));
}
