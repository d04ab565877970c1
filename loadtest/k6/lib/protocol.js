// What a right answer looks like in each protocol: cheap to check on every answer, and without k6, so that Node tests it.

/**
 * What is known of the right answer to a payload.
 *
 * @typedef {object} Known
 * @property {string} label of its class; empty where it is not known
 * @property {(body: ArrayBuffer, from: number, size: number) => boolean} holds whether FP32 scores are largest at its class
 */

/** @type {Known} */
export const UNKNOWN = { label: '', holds: () => true };

function countsMatch(outputs, items) {
  return Array.isArray(outputs) && outputs.length > 0 && outputs.every((output) => output.shape[0] === items);
}

function isRightBinary(answer, items, known) {
  const length = Number(answer.headers['Inference-Header-Content-Length']);
  if (!(length > 0) || length > answer.body.byteLength) return false;
  const header = JSON.parse(String.fromCharCode.apply(null, new Uint8Array(answer.body, 0, length)));
  if (!countsMatch(header.outputs, items)) return false;
  const sizes = header.outputs.map((output) => output.parameters.binary_data_size);
  if (length + sizes.reduce((sum, size) => sum + size, 0) !== answer.body.byteLength) return false;
  return header.outputs[0].datatype !== 'FP32' || known.holds(answer.body, length, sizes[0]);
}

function isLabel(prediction, label) {
  return label === '' || prediction.label === label;
}

// True when the answer holds as many results as the request had items, and the class that is known to be the right one.
export function isRight(protocol, answer, items, known = UNKNOWN) {
  try {
    if (protocol === 'v2-binary') return isRightBinary(answer, items, known);
    const content = JSON.parse(answer.body);
    if (protocol === 'v2-json') return countsMatch(content.outputs, items);
    if (!Array.isArray(content.predictions) || content.predictions.length !== items) return false;
    return isLabel(content.predictions[0], known.label);
  } catch (error) {
    return false;
  }
}
