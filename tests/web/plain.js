/** State of a client as plain data, to be compared with that of the Python client. */

import { allowedOperations } from "../../src/router/web/sdk/index.js";

/**
 * Return a value with its maps as objects, and each assignment with the operations that it allows.
 * @param {any} value
 * @returns {any}
 */
export function plain(value) {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, inner]) => [key, plain(inner)]));
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
  return "wrap_up_started_at_ms" in value ? { ...fields, allowed: allowedOperations(value) } : fields;
}

/**
 * What is compared of a client's state.
 * @param {string} role
 * @param {any} state
 */
export function comparedState(role, state) {
  if (role === "supervisor") return plain(state.agents);
  if (role === "gateway") return plain(state.contacts);
  const { cards, ...agent } = state;
  return plain(agent);
}
