// What k6 alone says of a server, as its documentation shows it: a constant arrival rate, or users that wait.
//
// For `benchmarks/coordinated_omission.py`, which reads the summary; Podium itself never does.
//   URL=http://… BODY=a.jpg SECONDS=10 USERS=10 [RATE=50] k6 run --summary-export summary.json k6_summary.js

import http from 'k6/http';

const body = open(__ENV.BODY, 'b');
const users = Number(__ENV.USERS);
const duration = `${__ENV.SECONDS}s`;

const open_loop = {
  executor: 'constant-arrival-rate',
  rate: Number(__ENV.RATE),
  timeUnit: '1s',
  duration,
  preAllocatedVUs: users,
  maxVUs: users,
};
const closed_loop = { executor: 'constant-vus', vus: users, duration };

export const options = {
  scenarios: { play: __ENV.RATE ? open_loop : closed_loop },
  summaryTrendStats: ['p(50)', 'p(99)', 'max', 'count'],
};

export default function () {
  http.post(__ENV.URL, body, { headers: { 'Content-Type': 'image/jpeg' } });
}
