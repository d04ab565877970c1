// How long do answers take when requests arrive on their own, whether or not the server keeps up?
//
// Plays a schedule of arrivals (open loop). Latency counts from the instant a request was meant to leave.
//   LOADTEST_SHOT=shot.json k6 run --out hdr=FOLDER open-loop.js

import { checkShot, optionsFor } from './lib/shot.js';
import { play } from './lib/user.js';

const shot = checkShot(JSON.parse(open(__ENV.LOADTEST_SHOT)), 'open');

export const options = optionsFor(shot);

export default function () {
  play(shot);
}
