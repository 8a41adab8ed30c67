// What Lighthouse measures, and what must hold. `run_lighthouse.sh` compares a report with `thresholds`.

const thresholds = {
  // category scores, 0 to 100: at least
  categories: { performance: 85, accessibility: 90, 'best-practices': 90 },
  // Core Web Vitals by their audit: less than (milliseconds; CLS has no unit)
  audits: {
    'first-contentful-paint': 1800,
    'largest-contentful-paint': 2500,
    'total-blocking-time': 200,
    'cumulative-layout-shift': 0.1,
  },
};

module.exports = {
  thresholds,
  extends: 'lighthouse:default',
  settings: {
    onlyCategories: Object.keys(thresholds.categories),
    formFactor: 'desktop',
    screenEmulation: { mobile: false, width: 1350, height: 940, deviceScaleFactor: 1, disabled: false },
    // a fixed and modest link, so that two machines agree
    throttling: { rttMs: 40, throughputKbps: 10240, cpuSlowdownMultiplier: 1 },
  },
};
