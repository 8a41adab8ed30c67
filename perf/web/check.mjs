// Compares a Lighthouse report with the thresholds: one line each, exit code 1 if one is missed.
import { readFileSync } from 'node:fs';
import config from './lighthouse.config.js';

const { thresholds } = config;
const report = JSON.parse(readFileSync(process.argv[2], 'utf8'));
let failed = 0;

function line(name, measured, bound, holds) {
  if (!holds) failed += 1;
  console.log(`${holds ? 'ok  ' : 'FAIL'}  ${name.padEnd(26)} ${measured} (${bound})`);
}

for (const [name, atLeast] of Object.entries(thresholds.categories)) {
  const score = report.categories[name]?.score;
  const measured = typeof score === 'number' ? Math.round(score * 100) : 'not measured';
  line(name, measured, `at least ${atLeast}`, measured >= atLeast);
}
for (const [name, below] of Object.entries(thresholds.audits)) {
  const value = report.audits[name]?.numericValue;
  const measured = typeof value === 'number' ? Number(value.toFixed(3)) : 'not measured';
  line(name, measured, `less than ${below}`, measured < below);
}
process.exit(failed === 0 ? 0 : 1);
