// How does a server answer at a constant rate? A quick look with any k6, on one machine or by the k6-operator.
//
// Percentiles of several runners cannot be merged, and k6 counts latency from the real send: for a verdict use the
// chart's own runners.
//   URL=http://… RATE=10 DURATION=30s [BODY={…}] k6 run constant-rate.js

import http from 'k6/http';
import { check } from 'k6';

const url = __ENV.URL;
const rate = Number(__ENV.RATE);
if (!url) throw new Error('URL is empty');
if (!(rate > 0)) throw new Error(`RATE is ${__ENV.RATE}, not above 0`);

export const options = {
  scenarios: {
    constant: {
      executor: 'constant-arrival-rate',
      rate,
      timeUnit: '1s',
      duration: __ENV.DURATION || '30s',
      preAllocatedVUs: Math.max(10, Math.ceil(rate)),
    },
  },
  summaryTrendStats: ['avg', 'min', 'med', 'max', 'p(90)', 'p(95)', 'p(99)', 'p(99.9)', 'count'],
  thresholds: { dropped_iterations: ['count==0'], http_req_failed: ['rate==0'] },
};

export default function () {
  const answer = __ENV.BODY
    ? http.post(url, __ENV.BODY, { headers: { 'Content-Type': 'application/json' } })
    : http.get(url);
  check(answer, { 'status is 200': (one) => one.status === 200 });
}
