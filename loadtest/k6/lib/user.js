// One user: takes the next request when its time has come, sends it once, says how it ended. Never retries.

import { body, call, done, failed, headers, holds, isRightAnswer, items, label, mark, next, pick } from 'k6/x/hdr';
import { sleep } from 'k6';
import http from 'k6/http';

import { isRight } from './protocol.js';

// In a closed loop nothing else slows a user down whose connection is refused at once.
const PAUSE_AFTER_NO_ANSWER_S = 0.1;

// Made when a user first sends a payload: made for all of them, they would take most of a run's start, and of its memory.
const paramsOf = {};

function paramsFor(shot, payload) {
  if (!paramsOf[payload]) {
    paramsOf[payload] = {
      headers: headers(payload),
      timeout: Math.round(shot.timeout_s * 1000),
      responseType: shot.protocol === 'v2-binary' ? 'binary' : 'text',
    };
  }
  return paramsOf[payload];
}

const knownOf = {};

function knownFor(payload) {
  if (!knownOf[payload]) {
    knownOf[payload] = {
      label: label(payload),
      holds: (answer, from, size) => holds(payload, answer, from, size),
    };
  }
  return knownOf[payload];
}

function sendHttp(shot, payload) {
  const answer = http.post(shot.url, body(payload), paramsFor(shot, payload));
  done(answer.status);
  if (answer.status === 0) failed(answer.error_code, answer.error);
  const isAnswer = answer.status >= 200 && answer.status < 300;
  mark(isAnswer && isRight(shot.protocol, answer, items(payload), knownFor(payload)));
  return answer.status;
}

// k6's own gRPC client makes every message anew from JavaScript values, which for tensors takes longer than to answer it.
function sendGrpc(payload) {
  const status = call(payload);
  done(status);
  if (status === 0) failed(0, '');
  mark(status === 200 && isRightAnswer(payload));
  return status;
}

export function play(shot) {
  for (let n = next(); n >= 0; n = next()) {
    const payload = pick(n);
    const status = shot.protocol === 'grpc' ? sendGrpc(payload) : sendHttp(shot, payload);
    if (status === 0 && shot.kind === 'closed') sleep(PAUSE_AFTER_NO_ANSWER_S);
  }
}
