// What a right answer looks like in each protocol: cheap to check on every answer, and without k6, so that Node tests it.

function countsMatch(outputs, items) {
  return Array.isArray(outputs) && outputs.length > 0 && outputs.every((output) => output.shape[0] === items);
}

function isRightBinary(answer, items) {
  const length = Number(answer.headers['Inference-Header-Content-Length']);
  if (!(length > 0) || length > answer.body.byteLength) return false;
  const header = JSON.parse(String.fromCharCode.apply(null, new Uint8Array(answer.body, 0, length)));
  if (!countsMatch(header.outputs, items)) return false;
  const sizes = header.outputs.map((output) => output.parameters.binary_data_size);
  return length + sizes.reduce((sum, size) => sum + size, 0) === answer.body.byteLength;
}

// True when the answer holds as many results as the request had items.
export function isRight(protocol, answer, items) {
  try {
    if (protocol === 'v2-binary') return isRightBinary(answer, items);
    const content = JSON.parse(answer.body);
    if (protocol === 'v2-json') return countsMatch(content.outputs, items);
    return Array.isArray(content.predictions) && content.predictions.length === items;
  } catch (error) {
    return false;
  }
}
