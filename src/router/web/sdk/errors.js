/**
 * Errors of the client.
 *
 * ClientError
 * ├── RouterRefused      the router refused the command and gave a reason; it had no effect (or, rarely, this is unknown:
 * `applied`)
 * ├── OutcomeUnknown     the connection was lost before the answer; the command may or may not have been applied
 * ├── NotConnected       no connection within the time limit, or none is possible; nothing was sent
 * ├── PermanentlyClosed  the connection was closed with a code that forbids to reconnect
 * └── InvalidInput       an option or an argument cannot be right; nothing was sent
 */

/** Base class of all errors of the client. */
export class ClientError extends Error {
  /**
   * @param {string} message
   * @param {ErrorOptions} [options]
   */
  constructor(message, options) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** Refusal of a command by an `error` frame of the router. */
export class RouterRefused extends ClientError {
  /** @param {import("./wire.d.ts").ErrorFrame} frame */
  constructor(frame) {
    super(`${frame.code}: ${frame.title}${frame.detail ? ` (${frame.detail})` : ""}`);
    /** The frame with all its fields. */
    this.frame = frame;
  }

  /** Stable error code, such as `offer_not_pending`. */
  get code() {
    return this.frame.code;
  }

  /** Whether the same command may succeed after `frame.retry_after_ms`. */
  get temporary() {
    return this.frame.temporary ?? false;
  }
}

/**
 * Loss of the answer to a command. If it was sent with an idempotency key, `idempotencyKey` is that key: repeating the command
 * with it has no second effect.
 */
export class OutcomeUnknown extends ClientError {
  /**
   * @param {string} message
   * @param {string | null} [idempotencyKey]
   */
  constructor(message, idempotencyKey = null) {
    super(message);
    this.idempotencyKey = idempotencyKey;
  }
}

/** No connection: the text and `cause` give the reason of the last attempt. The command was not sent. */
export class NotConnected extends ClientError {}

/** End of the connection for a reason that a new connection would not change; `code` is the close code or HTTP status. */
export class PermanentlyClosed extends ClientError {
  /**
   * @param {number} code
   * @param {string} text
   * @param {ErrorOptions} [options]
   */
  constructor(code, text, options) {
    super(`closed with ${code}: ${text}`, options);
    this.code = code;
  }
}

/** An option or an argument that cannot be right; `field` names it. */
export class InvalidInput extends ClientError {
  /**
   * @param {string} field
   * @param {string} rule what would be valid
   */
  constructor(field, rule) {
    super(`${field} ${rule}`);
    this.field = field;
  }
}

const ID_LENGTH_MAX = 128;

/**
 * Return a text that identifies something, or a code. The router checks its form; here a missing one is found.
 * @template {string} T
 * @param {string} field
 * @param {T} value
 * @returns {T}
 */
export function requireText(field, value) {
  if (typeof value !== "string" || value.length === 0 || value.length > ID_LENGTH_MAX) {
    throw new InvalidInput(field, `must be a text of 1 to ${ID_LENGTH_MAX} characters`);
  }
  return value;
}
