// Settings of Lighthouse, and thresholds, with which `run_lighthouse.sh` compares a report.

const thresholds = {
  // minimum category scores, 0 to 100
  categories: { performance: 85, accessibility: 90, 'best-practices': 90 },
  // exclusive maximum of Core Web Vitals by their audit (milliseconds; CLS has no unit)
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
    // a fixed, modest link, for comparable results on different machines
    throttling: { rttMs: 40, throughputKbps: 10240, cpuSlowdownMultiplier: 1 },
  },
};
