// Smoke test of the reference platform: every public route, 5 users, one minute.
//
//   k6 run --no-usage-report perf/api/smoke_test.js
//   k6 run --no-usage-report -e BASE_URL=http://localhost:8080 -e DURATION=10s perf/api/smoke_test.js
//
// Each user requests the routes in turn, with pauses of 100 ms, like a page that loads its parts.
import http from 'k6/http';
import { check, sleep } from 'k6';

const BASE_URL = __ENV.BASE_URL || 'http://localhost:8000';

const ROUTES = [
  '/',
  '/healthz',
  '/api/registry/models',
  '/api/registry/datasets',
  '/api/viz/palette',
  '/api/flights/summary?origin=SFO&month=1',
  '/api/airports?near=37.6,-122.4&limit=10',
];

export const options = {
  vus: 5,
  duration: __ENV.DURATION || '60s',
  thresholds: {
    http_req_duration: ['p(95)<400'],
    http_req_failed: ['rate<0.01'],
    checks: ['rate>0.99'],
  },
};

export default function () {
  for (const route of ROUTES) {
    const response = http.get(BASE_URL + route, { tags: { name: route } });
    check(response, { 'status is 200': (r) => r.status === 200, 'has a body': (r) => r.body !== null && r.body.length > 0 }, { name: route });
    sleep(0.1);
  }
}
