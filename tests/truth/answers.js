// Does the check of answers tell right ones from wrong ones? Run by test_scripts.py; throws at the first that is not.

import { isRight } from '../../loadtest/k6/lib/protocol.js';

const cases = JSON.parse(open(__ENV.CASES));

for (const one of cases) {
  const body = one.binary ? new Uint8Array(one.body).buffer : one.body;
  const answer = { body, headers: one.headers || {} };
  // Stands in for what the extension looks at: whether the numbers begin with the one that is known.
  const holds = (scores, from) => one.known === undefined || new DataView(scores).getFloat32(from, true) === one.known;
  const known = { label: one.label || '', holds };
  if (isRight(one.protocol, answer, one.items, known) !== one.right) throw new Error(`wrong about: ${one.name}`);
}

export default function () {}
