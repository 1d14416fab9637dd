/**
 * Drive a client by lines of JSON on standard input; answers are lines on standard output. `driver.py` speaks the same protocol and
 * describes it.
 */

import { createInterface } from "node:readline";

import { CustomerClient, DesktopClient, GatewayClient, SupervisorClient } from "../../src/router/web/sdk/index.js";
import { comparedState, plain } from "./plain.js";

const CLIENTS = { agent: DesktopClient, gateway: GatewayClient, supervisor: SupervisorClient, customer: CustomerClient };

/** @param {string} name */
const camelCase = (name) => name.replace(/_[a-z]/g, (part) => part[1].toUpperCase());

/**
 * Options of the Python client as those of this one: seconds become milliseconds.
 * @param {Record<string, any>} given
 */
function optionsFrom(given) {
  const entries = Object.entries(given).map(([name, value]) => {
    const isTime = /_(timeout|base|max)_s$/.test(name);
    return isTime ? [camelCase(`${name.slice(0, -1)}ms`), value * 1000] : [camelCase(name), value];
  });
  return Object.fromEntries(entries);
}

const pause = () => new Promise((resolve) => setTimeout(resolve, 10));

class Driver {
  /** @type {any} */
  client = null;
  /** @type {AsyncGenerator<any> | null} */
  frames = null;
  role = "";

  /** @param {{role: keyof typeof CLIENTS, url: string, tokens: string[], options: Record<string, any>}} given */
  async open({ role, url, tokens, options }) {
    const left = [...tokens];
    const nextToken = () => (left.length > 1 ? /** @type {string} */ (left.shift()) : left[0]);
    const token = tokens.length === 1 ? tokens[0] : nextToken;
    this.role = role;
    this.client = new CLIENTS[role]({ baseUrl: url, token, backoffBaseMs: 10, backoffMaxMs: 50, ...optionsFrom(options) });
    this.frames = role === "customer" ? this.client.states() : this.client[Symbol.asyncIterator]();
    await this.client.open();
    return null;
  }

  /** @param {{method: string, args: any[], options: Record<string, any>}} given */
  async call({ method, args, options }) {
    const given = Object.fromEntries(Object.entries(options).map(([name, value]) => [camelCase(name), value]));
    return this.client[camelCase(method)](...args, ...(Object.keys(given).length ? [given] : []));
  }

  /** @param {{until: string, count?: number}} given */
  async read({ until, count = 1 }) {
    /** @type {[number, string][]} */
    const found = [];
    while (true) {
      const { value: frame, done } = await /** @type {AsyncGenerator<any>} */ (this.frames).next();
      if (done) return found;
      if (frame.type === "event") found.push([frame.seq, frame.event.type]);
      else if (frame.type === "welcome") found.push([frame.seq, "welcome"]);
      else if (frame.type !== "stats") found.push([0, frame.state]);
      if (found.filter(([, type]) => type === until).length === count) return found;
    }
  }

  async state() {
    return this.role === "customer" ? plain(this.client.request) : comparedState(this.role, this.client.state);
  }

  /** @param {{connections: number}} given */
  async wait({ connections }) {
    while (!(this.client.isConnected && this.client.connectionCount >= connections)) await pause();
    return null;
  }

  async wait_lost() {
    while (this.client.isConnected) await pause();
    return null;
  }

  async drop() {
    this.client.drop();
    return null;
  }

  async close() {
    await this.client.close();
    return null;
  }
}

const driver = new Driver();

/** @param {string} line */
async function answer(line) {
  const { n, do: action, ...asked } = JSON.parse(line);
  /** @type {object} */
  let told;
  try {
    told = { n, value: (await /** @type {any} */ (driver)[action](asked)) ?? null };
  } catch (error) {
    const { name, code = null, idempotencyKey = null, message } = /** @type {any} */ (error);
    told = { n, error: { kind: name, code, text: message, key: idempotencyKey } };
  }
  console.log(JSON.stringify(told));
}

for await (const line of createInterface({ input: process.stdin })) void answer(line);
process.exit(0);
