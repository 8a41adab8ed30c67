// Load on one cached route, as much as the service can handle.
//
//   k6 run --no-usage-report --vus 8 --duration 60s -e BASE_URL=http://localhost:8080 perf/api/one_route.js
import http from 'k6/http';
import { check } from 'k6';

const BASE_URL = __ENV.BASE_URL || 'http://localhost:8000';

export const options = {
  thresholds: {
    checks: ['rate>0.99'],
  },
};

export default function () {
  const response = http.get(BASE_URL + '/api/airports?near=37.6,-122.4&limit=10');
  check(response, { 'status is 200': (r) => r.status === 200 });
}
