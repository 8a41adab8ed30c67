// Load test of the reference platform: from 0 to 50 users and back, with requests that hit the cache, requests with a validator,
// and new requests. Bodies are checked.
//
//   k6 run --no-usage-report -e BASE_URL=http://localhost:8080 -e HOLD=60s perf/api/load_test.js
import http from 'k6/http';
import { check, sleep } from 'k6';

const BASE_URL = __ENV.BASE_URL || 'http://localhost:8000';

export const options = {
  scenarios: {
    ramp: {
      executor: 'ramping-vus',
      startVUs: 0,
      stages: [
        { duration: __ENV.RAMP || '10s', target: 50 },
        { duration: __ENV.HOLD || '60s', target: 50 },
        { duration: '5s', target: 0 },
      ],
    },
  },
  thresholds: {
    http_req_duration: ['p(95)<100'],
    http_req_failed: ['rate==0'],
    checks: ['rate==1'],
  },
};

const AIRPORTS = ['SFO', 'LAX', 'ORD', 'JFK', 'SEA', 'DEN', 'ATL', 'BOS'];
const validators = {};

function one(list) {
  return list[Math.floor(Math.random() * list.length)];
}

// A result that other users request too: 200 with a body, or 304 for the validator of the last response.
function shared(path, holds) {
  const known = validators[path];
  const headers = known && Math.random() < 0.5 ? { 'If-None-Match': known } : {};
  const response = http.get(BASE_URL + path, { headers, tags: { name: path } });
  const kept = response.status === 304;
  check(response, { 'is 200 or 304': (r) => r.status === 200 || (kept && 'If-None-Match' in headers) });
  if (!kept) {
    check(response, { 'body is whole': (r) => holds(r) });
  }
  if (response.headers.Etag) {
    validators[path] = response.headers.Etag;
  }
}

function isJson(response) {
  return response.json() !== null;
}

export default function () {
  const dice = Math.random();
  if (dice < 0.5) {
    shared(`/api/flights/summary?origin=${one(AIRPORTS)}&month=${1 + Math.floor(Math.random() * 3)}`, isJson);
  } else if (dice < 0.7) {
    shared(one(['/api/registry/models', '/api/registry/datasets', '/api/viz/palette']), isJson);
  } else if (dice < 0.9) {
    // new coordinates: computed by the engine
    const near = `${(25 + Math.random() * 24).toFixed(4)},${(-124 + Math.random() * 57).toFixed(4)}`;
    const response = http.get(`${BASE_URL}/api/airports?near=${near}&limit=10`, { tags: { name: '/api/airports' } });
    check(response, { 'is 200': (r) => r.status === 200, 'body is whole': isJson });
  } else {
    const response = http.get(BASE_URL + '/', { tags: { name: '/' } });
    check(response, { 'is 200': (r) => r.status === 200, 'has a body': (r) => r.body.length > 0 });
  }
  sleep(0.1);
}
