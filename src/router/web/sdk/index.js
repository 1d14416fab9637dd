/**
 * Client of the Contact Router for browsers and Node.js: no dependency, no build step.
 *
 * The clients speak the router's protocol over WebSockets, reconnect by themselves and keep a copy of the state that they may
 * see, updated by events.
 */

export { allowedOperations } from "./operations.js";
export { CustomerClient } from "./customer.js";
export { DesktopClient } from "./desktop.js";
export { GatewayClient } from "./gateway.js";
export { SupervisorClient } from "./supervisor.js";
export { ClientError, InvalidInput, NotConnected, OutcomeUnknown, PermanentlyClosed, RouterRefused } from "./errors.js";
