/** Bounded buffer between a connection and the one reader of its frames. */

import { InvalidInput, PermanentlyClosed } from "./errors.js";
import { Gate } from "./reconnect.js";

const NORMAL_CLOSURE = 1000;

/**
 * Frames that a program reads.
 * @typedef {import("./wire.d.ts").WelcomeFrame | import("./wire.d.ts").EventFrame | import("./wire.d.ts").StatsFrame
 *   | import("./wire.d.ts").StateFrame} DeliveredFrame
 */

/** Frames that have arrived and were not read yet. */
export class FrameQueue {
  /** @type {DeliveredFrame[]} */
  #frames = [];
  #readFrom = 0;
  #max;
  #hasFrames = new Gate();
  /** @type {Error | null} */
  #end = null;
  #isRead = false;
  /** Open while there is space; after the buffer was full, once half of it has been read. */
  space = new Gate();

  /** @param {number} max */
  constructor(max) {
    this.#max = max;
    this.space.open();
  }

  /**
   * Append a frame; return false if the buffer is full.
   * @param {DeliveredFrame} frame
   * @param {boolean} [inAnyCase] also to a full buffer: the frame replaces any number of others
   */
  push(frame, inAnyCase = false) {
    if (!inAnyCase && this.#length >= this.#max) return false;
    this.#frames.push(frame);
    this.#hasFrames.open();
    return true;
  }

  get #length() {
    return this.#frames.length - this.#readFrom;
  }

  /**
   * End the stream, after what is buffered.
   * @param {Error} error what the reader gets; nothing, if this side has closed
   */
  end(error) {
    this.#end ??= error;
    this.#hasFrames.open();
    this.space.open();
  }

  /**
   * Iterate over the frames. One reader at a time.
   * @returns {AsyncGenerator<DeliveredFrame, void, void>}
   */
  async *read() {
    if (this.#isRead) throw new InvalidInput("reader", "must be the only one at a time");
    this.#isRead = true;
    try {
      while (true) {
        while (this.#length > 0) yield this.#take();
        if (this.#end !== null) {
          if (this.#end instanceof PermanentlyClosed && this.#end.code === NORMAL_CLOSURE) return;
          throw this.#end;
        }
        this.#hasFrames.shut();
        await this.#hasFrames.wait();
      }
    } finally {
      this.#isRead = false;
    }
  }

  #take() {
    const frame = this.#frames[this.#readFrom];
    this.#readFrom += 1;
    // Taken frames are dropped together, so that reading costs no more than the frames.
    if (this.#readFrom * 2 > this.#frames.length) {
      this.#frames = this.#frames.slice(this.#readFrom);
      this.#readFrom = 0;
    }
    if (this.#length <= Math.floor(this.#max / 2)) this.space.open();
    return frame;
  }
}
