/**
 * Replay what a router sent to many clients, and compare their states with those of Python clients: `node replay.js FILE`, whose
 * lines are `{client, role, text}` (a message) and `{client, role, expected}` (a state). Prints what differs.
 */

import assert from "node:assert/strict";
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";

import { DesktopClient, GatewayClient, SupervisorClient } from "../../src/router/web/sdk/index.js";
import { FakeRouter } from "./fake_router.js";
import { comparedState } from "./plain.js";

const CLIENTS = { agent: DesktopClient, gateway: GatewayClient, supervisor: SupervisorClient };

/** @type {Map<string, {client: any, side: import("./fake_router.js").ServerSide}>} */
const clients = new Map();

/**
 * @param {string} name
 * @param {keyof typeof CLIENTS} role
 */
async function clientOf(name, role) {
  const known = clients.get(name);
  if (known !== undefined) return known;
  const router = new FakeRouter();
  const client = new CLIENTS[role]({ ...router.options, deliverEvents: false });
  client.open().catch(() => undefined);
  const made = { client, side: await router.connection() };
  clients.set(name, made);
  return made;
}

let compared = 0;
for await (const line of createInterface({ input: createReadStream(process.argv[2]) })) {
  const { client: name, role, text, expected } = JSON.parse(line);
  const { client, side } = await clientOf(name, role);
  if (text !== undefined) side.send(text);
  else {
    compared += 1;
    assert.deepEqual(comparedState(role, client.state), expected, `${name} after ${compared} comparisons`);
  }
}
console.log(JSON.stringify({ clients: clients.size, compared }));
process.exit(0);
