// What loadtest/xk6-hdr gives to scripts.
declare module 'k6/x/hdr' {
  /** Wait for the next request of the run; its number, or -1 when there is none for this user. */
  export function next(): number;
  /** Which payload request n carries. */
  export function pick(n: number): number;
  /** A payload's bytes, shared by all users. */
  export function body(payload: number): ArrayBuffer;
  /** Record the end of this user's request: its HTTP status, 0 for no answer. */
  export function done(status: number): void;
  /** Record why this user's last request had no answer: k6's error code and words; after a call, what the call says. */
  export function failed(code: number, words: string): void;
  /** Record whether the content of this user's last answer was right. */
  export function mark(right: boolean): void;
  /** The headers that a payload is sent with. */
  export function headers(payload: number): Record<string, string>;
  /** How many results a right answer to a payload holds. */
  export function items(payload: number): number;
  /** The label of a payload's right answer; empty where it is not known. */
  export function label(payload: number): string;
  /** Whether so many bytes of an answer, FP32 scores from a byte on, are largest at a payload's right answer. */
  export function holds(payload: number, answer: ArrayBuffer, from: number, size: number): boolean;
  /** Send a payload over gRPC; its status as HTTP would name it, 0 for no answer. */
  export function call(payload: number): number;
  /** Whether the answer of the last call holds all results that the payload asked for, and the right one where it is known. */
  export function isRightAnswer(payload: number): boolean;
}
