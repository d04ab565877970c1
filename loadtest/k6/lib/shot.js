// The shot: what this run has to do, as loadtest/k6.py wrote it. Refuses what it does not understand.

const PROTOCOLS = ['v1-json', 'v1-image', 'v2-json', 'v2-binary', 'grpc'];

export function checkShot(shot, kind) {
  if (shot.kind !== kind) throw new Error(`the shot is ${shot.kind}, this script plays ${kind} ones`);
  if (!PROTOCOLS.includes(shot.protocol)) throw new Error(`no such protocol: ${shot.protocol}`);
  if (!(shot.users >= 1)) throw new Error(`users is ${shot.users}, below 1`);
  if (!(shot.timeout_s > 0)) throw new Error(`timeout_s is ${shot.timeout_s}, not above 0`);
  return shot;
}

/**
 * All users are there before the first arrival; each plays one long iteration of many requests.
 *
 * @returns {import('k6/options').Options}
 */
export function optionsFor(shot) {
  return {
    scenarios: {
      play: {
        executor: 'per-vu-iterations',
        vus: shot.users,
        iterations: 1,
        maxDuration: `${Math.ceil(shot.longest_s)}s`,
        gracefulStop: '0s',
      },
    },
    tags: shot.tags,
    systemTags: [],
    maxRedirects: 0,
    noCookiesReset: true,
    userAgent: 'podium-loadtest',
  };
}
