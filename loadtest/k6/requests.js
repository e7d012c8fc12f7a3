// Load by k6 whose every request has an id, and a line before it is sent and one for what came of it; `chaos join --k6`
// holds those lines against what the servers say. docs/join.md tells how to run it, and what k6 does not see.
//
//   k6 run --quiet --no-summary --log-format raw --console-output k6.ledger \
//       -e HOST=http://127.0.0.1:8080 -e RUN_ID=k6-$(hostname) loadtest/k6/requests.js
//
// VUS and DURATION size it. GET_PATH is what every other user asks for, POST_PATH what the rest sends a body to. With
// REUSE=0 every request has a connection of its own.
import http from 'k6/http';
import exec from 'k6/execution';
import { sleep } from 'k6';

const { HOST = 'http://127.0.0.1:8080', RUN_ID, VUS = '16', DURATION = '20s' } = __ENV;
const { GET_PATH = '/work/50', POST_PATH = '/echo', REUSE = '1' } = __ENV;

if (!/^[A-Za-z0-9._-]{1,64}$/.test(RUN_ID || '')) {
  throw new Error(`RUN_ID is ${RUN_ID}: give 1 to 64 letters, digits, '-', '_' or '.' that no other load has`);
}

export const options = {
  scenarios: {
    requests: { executor: 'constant-vus', vus: Number(VUS), duration: DURATION, gracefulStop: '10s' },
  },
  noConnectionReuse: REUSE === '0',
  // A redirect is an answer.
  maxRedirects: 0,
};

// A server that refuses is not asked again at once: the ledger shall tell of an outage, not of a busy loop.
const PAUSE_S = 0.01;

export default function () {
  const { idInTest, iterationInInstance } = exec.vu;
  const id = `${RUN_ID}-${idInTest}-${iterationInInstance}`;
  const asks = idInTest % 2 === 0 || POST_PATH === '' ? 'GET' : 'POST';
  const [path, body] = asks === 'GET' ? [GET_PATH, null] : [POST_PATH, 'a body that is not empty'];
  note({ id, asks });
  const response = http.request(asks, HOST + path, body, { headers: { 'x-request-id': id }, timeout: '10s' });
  note({
    id,
    status: response.status,
    error_code: response.error_code,
    body: response.body !== null,
    retry_after: response.headers['Retry-After'] !== undefined,
  });
  if (response.status === 0) sleep(PAUSE_S);
}

function note(what) {
  console.log(JSON.stringify({ at: Date.now(), ...what }));
}
