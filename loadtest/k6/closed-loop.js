// How fast is the server when each user waits for its answer before the next request?
//
// Single-stream (one user), offline and saturation figures only: when the server slows, so does this load, and its
// tail looks better than users would find it.
//   LOADTEST_SHOT=shot.json k6 run --out hdr=FOLDER closed-loop.js

import { checkShot, optionsFor } from './lib/shot.js';
import { play } from './lib/user.js';

const shot = checkShot(JSON.parse(open(__ENV.LOADTEST_SHOT)), 'closed');

export const options = optionsFor(shot);

export default function () {
  play(shot);
}
