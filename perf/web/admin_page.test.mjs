// Tests the admin page of a running platform in a browser. `cargo xtask web` sets KEARNEY (the program) and CHROME_PATH.
//
// Screenshots are written to SHOTS, if set. OPS_TEST_FULL=1 tests for longer.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import puppeteer from 'puppeteer-core';

const ROOT = new URL('../..', import.meta.url).pathname;
const FULL = process.env.OPS_TEST_FULL === '1';
const PATIENCE = 60_000;
const CANARY = 'canary-4f1d0c9ab27e';
const HOSTILE = '<img src=x onerror="globalThis.hacked=1">';
/** Markup as the target of a level, which has no white space and no '='. */
const HOSTILE_TARGET = '<iframe>';
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let folder, platform, api, admin, browser, page;
const foreign = [], complaints = [];

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
async function until(what, check) {
  for (const end = Date.now() + PATIENCE; Date.now() < end; await sleep(50)) if (await check()) return;
  assert.fail(`not within ${PATIENCE} ms: ${what}`);
}
const text = (selector) => page.$eval(selector, (node) => node.textContent);
const click = (selector) => page.$eval(selector, (node) => node.click());
const state = async () => (await fetch(`${admin}/api/state`)).json();
const PATHS = ['/', '/api/flights/summary?origin=SFO', '/api/viz/palette', '/api/registry/datasets', '/api/airports', `/api/${encodeURIComponent(HOSTILE)}`];
const load = async (rounds) => {
  for (let round = 0; round < rounds; round += 1) await Promise.all(PATHS.map((path) => fetch(api + path, { headers: { 'x-request-id': 'hostile-id', 'user-agent': HOSTILE } }).then((answer) => answer.text())));
};
async function shoot(name, options = {}) {
  if (!process.env.SHOTS) return;
  mkdirSync(process.env.SHOTS, { recursive: true });
  await page.screenshot({ path: join(process.env.SHOTS, `${name}.png`), ...options });
}
/** Starts a platform in this folder; resolves once it is ready, with its addresses. */
async function start(home, variables) {
  const data = join(home, 'data');
  const args = ['serve', '--port', '0', '--admin-port', '0', '--config-dir', join(ROOT, 'configs'), '--data-dir', data];
  const child = spawn(process.env.KEARNEY, args, { cwd: home, env: { ...process.env, ...variables }, stdio: 'ignore' });
  await until('the platform is ready', () => existsSync(join(data, 'addresses.json')));
  const urls = JSON.parse(readFileSync(join(data, 'addresses.json'), 'utf8'));
  return { child, api: urls.api.replace(/\/$/, ''), admin: urls.admin.replace(/\/$/, '') };
}
async function stop(child) {
  child.kill('SIGCONT');
  child.kill('SIGTERM');
  await new Promise((done) => child.on('exit', done));
}

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'admin-page-'));
  // nothing listens there: the collector is down
  ({ child: platform, api, admin } = await start(folder, { REGISTRY_API_KEY: CANARY, OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9', OTEL_BSP_SCHEDULE_DELAY: '200' }));
  const args = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
  browser = await puppeteer.launch({ executablePath: process.env.CHROME_PATH, headless: true, args });
  page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.on('request', (request) => { if (!request.url().startsWith(admin) && !request.url().startsWith('data:')) foreign.push(request.url()); });
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => { if (message.type() === 'error' && !message.text().includes('net::')) complaints.push(message.text()); });
  await page.setViewport({ width: 1350, height: 940 });
  await load(5);
  await page.goto(admin, { waitUntil: 'load' });
  await until('the page is drawn', () => page.$('body:not(.loading) #traces-t tbody a'));
  await until('routes are drawn', () => page.$('#routes-t tbody tr'));
}, { timeout: 2 * PATIENCE });

after(async () => {
  await browser?.close();
  if (platform) await stop(platform);
  rmSync(folder, { recursive: true, force: true });
});

test('every section is there, and shows something', async () => {
  for (const id of ['overview', 'routes', 'traces', 'lines', 'cache', 'jobs', 'dependencies', 'secrets', 'levels', 'sampling', 'configuration', 'cardinality']) {
    const section = await page.$eval(`#${id}`, (node) => ({ hidden: node.hidden, text: node.innerText }));
    assert.equal(section.hidden, false, id);
    assert.ok(section.text.length > 40, `${id}: ${section.text}`);
  }
  const tiles = await page.$$eval('.tile h3', (nodes) => nodes.map((node) => node.textContent));
  assert.deepEqual(tiles, ['Requests', 'Server errors', 'Latency', 'In flight', 'Cache hits', 'Queue', 'Resident memory', 'CPU']);
  assert.match(await text('#build'), /\d+\.\d+\.\d+ · [0-9a-f]+/);
});

test('an idle second is a gap in what has no value then', async () => {
  const p95 = async () => (await state()).metrics.find((line) => line.name === 'p95_seconds').recent;
  await until('a second with and one without a value', async () => {
    const points = await p95();
    return points.some((point) => point !== null) && points.some((point) => point === null);
  });
  // the points of the line are exactly the values
  await until('the gap is drawn', async () => {
    const { lines } = await (await fetch(`${admin}/api/tiles?window=5m`)).json();
    const points = lines.find((line) => line.name === 'p95_seconds').recent;
    const values = points.filter((point) => point !== null).length;
    const drawn = await page.$eval('.tile.three .l1', (line) => line.getAttribute('d').match(/[ML]/g)?.length ?? 0);
    return values + 5 < points.length && Math.abs(drawn - values) <= 2;
  });
});

test('from a route to the statement in two clicks, each an address', async () => {
  await page.$$eval('#routes-t a', (links) => links.find((link) => link.textContent === 'GET /api/flights/summary').click());
  await until('traces of the route', () => page.$$eval('#traces-t tbody a', (links) => links.length > 0 && links.every((link) => link.textContent.includes('/api/flights/summary'))));
  assert.match(page.url(), /#route=GET/);
  await click('#traces-t tbody tr:last-child a');
  await until('the statement', () => page.$$eval('#trace pre', (nodes) => nodes.some((node) => node.textContent.startsWith('SELECT count(*)') && node.checkVisibility())));
  assert.match(page.url(), /trace=[0-9a-f]{32}/);
  assert.ok((await page.$$('#trace .lines li')).length > 0, 'the lines of the trace');
  const address = page.url();
  await page.goto('about:blank');
  await page.goto(address, { waitUntil: 'load' });
  await until('the same view, in sight', () => page.evaluate(() => {
    const place = document.querySelector('#trace .spans details')?.getBoundingClientRect();
    return !!place && place.height > 0 && place.top >= 0 && place.top < innerHeight;
  }));
  await shoot('trace');
});

test('the runs of the orchestrator are listed with their phases, and lead to their traces', async () => {
  const asked = await fetch(`${api}/api/orchestrator/runs`, { method: 'POST', headers: { 'x-api-key': CANARY, 'content-type': 'application/json' }, body: '{"job": "delays"}' });
  assert.equal(asked.status, 202);
  await until('the run is listed and over', () => page.$$eval('#jobs-t tbody tr', (rows) => rows.some((row) => row.cells[1].textContent === 'delays' && row.textContent.includes('success'))));
  const run = await page.$$eval('#jobs-t tbody tr', (rows) => { const row = rows.find((one) => one.cells[1].textContent === 'delays'); return { bars: row.querySelectorAll('rect').length, steps: row.querySelector('.steps').textContent }; });
  assert.ok(run.bars >= 3, run.steps);
  assert.match(run.steps, /ingest .*publish /);
  assert.equal(await text('#jobs-h'), 'Orchestrator runs');
  await page.$$eval('#jobs-t tbody tr', (rows) => rows.find((row) => row.cells[1].textContent === 'delays').querySelector('a').click());
  await until('its trace', () => page.$$eval('#trace .spans .name', (names) => names.length > 3));
});

test('from an alert to the statement in at most five clicks', async () => {
  // queries in progress while the process is stopped take longer than a second
  const rows = (round) => Array.from({ length: 30 }, (_, at) => fetch(`${api}/api/airports?near=${30 + (at % 10)}.${round}${at},-1${at % 10}0.${round}&limit=50`).then((answer) => answer.text()));
  await until('the finding', async () => {
    const asked = rows(Math.floor(Math.random() * 10_000));
    await sleep(3);
    platform.kill('SIGSTOP');
    await sleep(1100);
    platform.kill('SIGCONT');
    await Promise.all(asked);
    await sleep(1000);
    const found = (await state()).findings.find((finding) => finding.id === 'duckdb_slow' && finding.trace_id);
    // operators are measured once a kind of statement was slow
    return !!found && (await (await fetch(`${admin}/api/traces/${found.trace_id}`)).text()).includes('duckdb.operators');
  });
  const alerts = readFileSync(join(ROOT, 'configs/alerts.yml'), 'utf8');
  const [, view] = alerts.slice(alerts.indexOf('alert: DuckDbSlow')).match(/admin_url: 'http:\/\/localhost:8001\/(.*)'/);
  let clicks = 1;
  await page.goto('about:blank');
  await page.goto(`${admin}/${view}`, { waitUntil: 'load' });
  await until('the finding, in sight', () => page.evaluate(() => {
    const place = document.querySelector('#finding-duckdb_slow')?.getBoundingClientRect();
    return !!place && place.top >= 0 && place.bottom <= innerHeight;
  }));
  await shoot('alert');
  clicks += 1;
  await page.$$eval('#finding-duckdb_slow .more a', (links) => links.find((link) => link.textContent === 'example trace').click());
  await until('the statement', () => page.$$eval('#trace pre', (nodes) => nodes.some((node) => /^(SELECT|WITH)\b/.test(node.textContent) && node.checkVisibility())));
  assert.ok(await page.$$eval('#trace th', (heads) => heads.some((head) => head.textContent === 'duckdb.operators' && head.checkVisibility())), 'the operators of the statement');
  assert.ok((await page.$$('#trace .lines li')).length > 0, 'the lines of the trace');
  assert.ok(clicks <= 5);
  // through its route and the slowest request there, like a user who wants to see other traces too
  await page.goBack();
  clicks = 1;
  await until('the finding', () => page.$('#finding-duckdb_slow .more a'));
  clicks += 1;
  await page.$$eval('#finding-duckdb_slow .more a', (links) => links.find((link) => link.textContent.startsWith('traces of GET ')).click());
  const route = new URLSearchParams(new URL(page.url()).hash.slice(1)).get('route');
  await until('traces of the route', () => page.$$eval('#traces-t tbody a', (links, part) => links.length > 0 && links.every((link) => link.textContent.includes(part)), route));
  clicks += 1;
  await page.$$eval('#routes-t tbody tr', (rows, wanted) => rows.find((row) => row.cells[0].textContent === wanted).cells[8].querySelector('a').click(), route);
  await until('the statement of the slowest', () => page.$$eval('#trace pre', (nodes) => nodes.some((node) => /^(SELECT|WITH)\b/.test(node.textContent) && node.checkVisibility())));
  assert.ok(clicks <= 5, `${clicks} clicks`);
});

for (const [name, scheme, width] of [['light', 'light', 1350], ['dark', 'dark', 1350], ['narrow', 'light', 390]]) {
  test(`no accessibility rule is violated: ${name}`, async () => {
    await page.setViewport({ width, height: name === 'narrow' ? 844 : 940 });
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }, { name: 'prefers-reduced-motion', value: 'reduce' }]);
    await page.evaluate(() => scrollTo(0, 0));
    await load(3);
    await page.evaluate(AXE);
    const found = await page.evaluate(() => globalThis.axe.run());
    const shown = found.violations.flatMap((rule) => rule.nodes.map((node) => `${rule.id} ${node.target} ${node.failureSummary}`));
    assert.deepEqual(shown, []);
    assert.ok(found.passes.length > 20);
    assert.ok(await page.evaluate(() => document.scrollingElement.scrollWidth <= innerWidth), 'the page is not wider than the screen');
    await shoot(name);
  });
}

test('selection, focus, what was typed, scrolled and opened survive updates', async () => {
  await page.setViewport({ width: 1350, height: 940 });
  await page.goto(`${admin}/?again`, { waitUntil: 'load' });
  await until('lines', async () => (await page.$$('#lines-l details')).length > 20);
  await page.type('#level-f [name="why"]', 'half a reas');
  await click('#lines-l li:nth-child(3) summary');
  await page.$eval('#lines-s', (node) => { node.scrollTop = 200; });
  await page.evaluate(() => {
    globalThis.kept = document.querySelector('#lines-l details[open]');
    getSelection().selectAllChildren(document.querySelector('#routes-t tbody tr td'));
    document.querySelector('#level-f [name="why"]').focus({ preventScroll: true });
    getSelection().selectAllChildren(document.querySelector('#routes-t tbody tr td'));
  });
  const before = await page.evaluate(() => ({ selected: String(getSelection()), top: document.querySelector('#lines-s').scrollTop, id: document.activeElement.name }));
  assert.ok(before.selected.startsWith('GET '), before.selected);
  const updates = FULL ? 30 : 8;
  const seen = new Set();
  await until(`${updates} updates`, async () => {
    await load(1);
    seen.add(await text('#answered'));
    return seen.size > updates;
  });
  const now = await page.evaluate(() => ({
    selected: String(getSelection()), top: document.querySelector('#lines-s').scrollTop, id: document.activeElement.name,
    value: document.querySelector('#level-f [name="why"]').value, open: globalThis.kept.isConnected && globalThis.kept.open,
    fresh: document.querySelector('#fresh').textContent,
  }));
  assert.deepEqual({ selected: now.selected, top: now.top, id: now.id }, before);
  assert.equal(now.value, 'half a reas');
  assert.ok(now.open);
  assert.match(now.fresh, /^Show \d+ new$/);
  await click('#fresh');
  await until('the new lines', () => page.$eval('#fresh', (node) => node.hidden));
});

test('a level is changed with a reason and taken back', async () => {
  await page.$eval('#level-f', (form, target) => { form.elements.target.value = target; form.elements.why.value = 'looking'; form.elements.who.value = 'ada'; }, HOSTILE_TARGET);
  await page.$eval('#level-f', (form) => form.requestSubmit());
  await until('the level', async () => (await text('#levels-t')).includes(HOSTILE_TARGET));
  assert.match(await text('#level-f output'), /is debug for 900 seconds/);
  assert.match(await text('#levels-t'), /ada.*looking/);
  await until('it is a line', async () => {
    // while the reader has scrolled, new lines wait for a click
    await page.$eval('#fresh', (node) => { if (!node.hidden) node.click(); });
    return (await text('#lines-l')).includes('admin_action');
  });
  await page.$$eval('#levels-t button', (buttons) => buttons.find((button) => !button.hidden).click());
  await until('it is as it was', async () => !(await text('#levels-t')).includes('looking'));
});

test('entries of the cache are removed by a pattern', async () => {
  await load(1);
  await page.$eval('#cache-f', (form, what) => { form.elements.what.value = what; form.elements.why.value = 'stale'; form.requestSubmit(); }, `*${HOSTILE}*`);
  await until('nothing matches', async () => (await text('#cache-f output')).startsWith('0 entries'));
  await page.$eval('#cache-f', (form) => { form.elements.what.value = '*flights*'; form.elements.why.value = 'stale'; form.requestSubmit(); });
  await until('it is removed', async () => /^[1-9]\d* entries/.test(await text('#cache-f output')));
  await until('it is listed', async () => (await text('#invalidations-t')).includes('*flights*'));
  assert.ok((await text('#invalidations-t')).toLowerCase().includes('onerror'), 'hostile patterns are text');
});

test('a window is part of the address, and back leads back', async () => {
  await click('#window [value="24h"]');
  assert.match(page.url(), /window=24h/);
  await until('the axis', async () => (await text('.chart .x0')) === '−24 h');
  await page.goBack();
  await until('the axis', async () => (await text('.chart .x0')) === '−5 min');
});

test('what users send stays text, and nothing came from elsewhere', async () => {
  assert.equal(await page.evaluate(() => globalThis.hacked), undefined);
  assert.equal((await page.$$('img, iframe, object, main script')).length, 0);
  assert.deepEqual(foreign, []);
  assert.deepEqual(complaints, []);
});

test('a ratio that is nearly 1 is not 100 %', async () => {
  const shown = await page.evaluate(async () => {
    const { number } = await import('/assets/dom.js');
    return [0.9996, 0.999999, 1, 0.9912, 0].map((ratio) => number(ratio, 'ratio'));
  });
  assert.deepEqual(shown, ['99.96 %', '99.99 %', '100 %', '99.1 %', '0 %']);
});

test('a line of another process stands in the place of one with the same number', async () => {
  const shown = await page.evaluate(async () => {
    const [{ keyed }, { fillLine, makeLine }] = await Promise.all([import('/assets/dom.js'), import('/assets/lines.js')]);
    const list = document.createElement('ol');
    const draw = (events) => keyed(list, events.map((event, number) => ({ number, text: JSON.stringify({ event, trace_id: event.repeat(16) }) })), (line) => String(line.number), makeLine, fillLine);
    draw(['a0', 'a1']);
    draw(['b0', 'b1', 'b2']);
    return [...list.children].map((node) => [node.querySelector('b').textContent, node.querySelector('pre').textContent.includes('a'.repeat(2)), node.querySelectorAll('a').length]);
  });
  assert.deepEqual(shown, ['b0', 'b1', 'b2'].map((event) => [event, false, 1]));
});

test('each finding is shown, however long the chain of its causes is', async () => {
  const shown = await page.evaluate(async () => {
    const { drawFindings } = await import('/assets/parts.js');
    const list = document.querySelector('#findings');
    const finding = (id, explained_by) => ({ id, severity: 'warning', title: id, seen: '', since: 0, means: '', action: '', runbook: null, explained_by });
    const draw = (...findings) => {
      list.replaceChildren();
      drawFindings({ findings: findings.map(([id, cause]) => finding(id, cause)), verdict: { state: 'ok', reasons: [] } });
      return [...list.querySelectorAll('li')].map((node) => `${node.parentElement.closest('li')?.dataset.key ?? ''} > ${node.dataset.key}`);
    };
    const all = [draw(['a', null], ['b', 'a'], ['c', 'b'], ['d', 'c']), draw(['x', 'z'], ['y', 'x'], ['z', 'y']), draw(['own', 'own'], ['of', 'own'], ['nobody', 'gone'])];
    list.replaceChildren();
    return all;
  });
  assert.deepEqual(shown, [[' > a', 'a > b', 'b > c', 'c > d'], [' > x', 'x > y', 'y > z'], [' > nobody', ' > own', 'own > of']]);
});

test('checks of one name are a row each', async () => {
  const shown = await page.evaluate(async () => {
    const { drawDependencies } = await import('/assets/parts.js');
    const table = document.querySelector('#dependencies-t');
    table.replaceChildren();
    drawDependencies([{ name: 'database', state: 'down', detail: 'primary' }, { name: 'database', state: 'up', detail: '' }]);
    const rows = [...table.tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.textContent));
    table.replaceChildren();
    return rows;
  });
  assert.deepEqual(shown, [['database', 'down', 'primary'], ['database', 'up', '']]);
});

/** Opens the page again; `answer` may replace the response of the service for a path. */
async function another(answer, look) {
  const other = await browser.newPage();
  try {
    await other.setRequestInterception(true);
    other.on('request', async (request) => {
      const url = new URL(request.url());
      const own = await answer(url.pathname, url.searchParams);
      if (own) await request.respond(own, 1);
      else await request.continue({}, 0);
    });
    await other.goto(admin, { waitUntil: 'load' });
    await look(other);
  } finally {
    await other.close();
  }
}

for (const path of ['/api/state', '/api/tiles']) {
  test(`what did not come is asked for again, and the page says so: ${path}`, async () => {
    let refused = 0;
    const refuse = (asked) => (asked === path && refused < 2 ? (refused += 1, { status: 503, body: 'busy' }) : null);
    await another(refuse, async (other) => {
      await until('it says so', () => other.$eval('#missing', (node) => !node.hidden && node.textContent.includes('busy')));
      await until('it is there', () => other.$('.tile .line[d^="M"]'));
      await until('it says nothing', () => other.$eval('#missing', (node) => node.hidden));
      assert.ok((await other.$$('#routes-t tbody tr')).length > 0);
      assert.equal(refused, 2);
    });
  });
}

test('a change that comes while the document is under way is shown', async () => {
  const target = `meanwhile_${Date.now()}`;
  let asked = 0;
  const late = async (path) => {
    if (path !== '/api/state' || (asked += 1) > 1) return null;
    const body = await (await fetch(admin + path)).text();
    const headers = { 'content-type': 'application/json', 'x-ops-admin': '1' };
    await fetch(`${admin}/api/level`, { method: 'POST', headers, body: JSON.stringify({ level: 'debug', target, why: 'meanwhile' }) });
    // every page has received the event by then
    await until('the event', async () => (await text('#levels-t')).includes(target));
    return { status: 200, contentType: 'application/json', body };
  };
  await another(late, async (other) => {
    await until('the document', () => other.$('#levels-t tbody tr'));
    assert.ok((await other.$eval('#levels-t', (node) => node.textContent)).includes(target));
    assert.equal(asked, 1);
  });
});

test('lines that were missed are noted whatever the log is filtered by', async () => {
  await another(() => null, async (other) => {
    await other.evaluate(() => { location.hash = 'text=only-this'; });
    await until('the filter', () => other.$eval('#lines-count', (node) => node.textContent === 'no matching lines'));
    const shown = await other.evaluate(async () => {
      const { addLines, forgetLines } = await import('/assets/lines.js');
      // far beyond the event numbers of the stream
      const add = (last, missed, ...events) => addLines({ last: 1e9 + last, missed, lines: events.map((event) => JSON.stringify({ event })) });
      forgetLines();
      add(10, 7, 'other', 'only-this');
      add(20, 10);
      add(30, 9, 'other');
      add(30, 9, 'other');
      return [...document.querySelectorAll('#lines-l > li')].map((node) => node.querySelector('b')?.textContent ?? parseInt(node.textContent));
    });
    assert.deepEqual(shown, [19, 'only-this', 7]);
  });
});

test('a trace id in capitals filters the log by that trace', async () => {
  await another(() => null, async (other) => {
    const id = '0123456789abcdef'.repeat(2);
    await other.evaluate((id) => { location.hash = `trace_id=${id.toUpperCase()}`; }, id);
    await until('the filter', () => other.$eval('#lines-count', (node) => node.textContent === 'no matching lines'));
    const shown = await other.evaluate(async (id) => {
      const { addLines, forgetLines } = await import('/assets/lines.js');
      forgetLines();
      const lines = [{ event: 'of it', trace_id: id }, { event: 'of another', trace_id: 'f'.repeat(32) }, { event: 'of none' }].map((line) => ({ level: 'info', ...line }));
      addLines({ last: 1e9, missed: 0, lines: lines.map((line) => JSON.stringify(line)) });
      return [...document.querySelectorAll('#lines-l > li b')].map((node) => node.textContent);
    }, id);
    assert.deepEqual(shown, ['of it']);
  });
});

test('a row that is over goes with the focus, and a time has its day unless it is today', async () => {
  const shown = await page.evaluate(async () => {
    const { clock, keyed } = await import('/assets/dom.js');
    const list = document.createElement('ol');
    document.body.append(list);
    const make = (key) => {
      const node = document.createElement('li');
      node.append(document.createElement('button'), document.createElement('button'));
      return node;
    };
    const draw = (...keys) => {
      keyed(list, keys, (key) => key, make, () => {});
      return [...list.children].map((node) => node.dataset.key + (node.classList.contains('gone') ? ' gone' : '')).sort().join();
    };
    const all = [draw('a', 'b')];
    const [first, second] = list.querySelectorAll('button');
    first.focus();
    all.push(draw('b'), draw('a', 'b'), draw('b'));
    second.focus();
    all.push(draw('b'));
    second.blur();
    all.push([...list.children].map((node) => node.dataset.key).join());
    list.remove();
    const now = Date.now();
    return { all, today: clock(now), other: clock(now - 3 * 86_400_000, 3).endsWith(clock(now - 3 * 86_400_000).slice(-8) + '.' + String(now % 1000).padStart(3, '0')), dated: clock(now - 3 * 86_400_000).length > 8 };
  });
  assert.deepEqual(shown.all, ['a,b', 'a gone,b', 'a,b', 'a gone,b', 'a gone,b', 'b']);
  assert.match(shown.today, /^\d\d:\d\d:\d\d( [AP]M)?$/);
  assert.ok(shown.dated && shown.other);
});

test('the list of traces is that of the conditions, though an earlier answer comes later', async () => {
  let release;
  const held = new Promise((done) => { release = done; });
  const answer = async (path, query) => {
    if (path !== '/api/traces') return null;
    const isEarly = query.get('route') === 'early';
    if (isEarly) await held;
    const trace = { trace_id: (isEarly ? 'e' : 'f').repeat(32), name: isEarly ? 'early' : 'late', start: 0, duration_us: 1, status: null, error: true, slow: false, spans: 1 };
    return { status: 200, contentType: 'application/json', body: JSON.stringify([trace]) };
  };
  await another(answer, async (other) => {
    const shown = () => other.$$eval('#traces-t tbody tr', (rows) => rows.map((row) => `${row.cells[2].textContent} ${row.cells[1].textContent}`).join());
    await other.evaluate(() => { location.hash = 'route=early'; });
    await other.evaluate(() => { location.hash = 'route=late'; });
    await until('the later ones', async () => (await shown()) === 'late error');
    const answered = other.waitForResponse((response) => response.url().includes('route=early'));
    release();
    await (await answered).text();
    await other.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(done))));
    assert.equal(await shown(), 'late error');
  });
});

test('a page that nobody sees holds no stream, and is there again when somebody does', async () => {
  let streams = 0;
  const count = (path) => { streams += path === '/api/stream'; return null; };
  await another(count, async (other) => {
    await until('it is live', () => other.$('.tile .line[d^="M"]'));
    await other.evaluate(() => {
      const { EventSource } = globalThis;
      const close = EventSource.prototype.close;
      EventSource.prototype.close = function () { globalThis.isClosed = true; close.call(this); };
      globalThis.see = (isSeen) => {
        Object.defineProperty(document, 'hidden', { configurable: true, value: !isSeen });
        document.dispatchEvent(new Event('visibilitychange'));
      };
      globalThis.see(false);
    });
    await until('it is closed', () => other.evaluate(() => globalThis.isClosed === true));
    const before = streams;
    await other.evaluate(() => globalThis.see(true));
    await until('it is open again', () => streams > before);
  });
});

test('a secret is nowhere', async () => {
  await fetch(`${api}/api/nothing?key=${CANARY}`, { headers: { authorization: `Bearer ${CANARY}`, referer: `http://x/?${CANARY}` } });
  const post = (path, body) => fetch(admin + path, { method: 'POST', headers: { 'content-type': 'application/json', 'x-ops-admin': '1' }, body: JSON.stringify(body) });
  await post('/api/level', { level: 'info', target: `t-${CANARY}`, why: `because of ${CANARY}` });
  await post('/api/sampling', { ratio: 1, why: CANARY });
  await post('/api/cache/invalidate', { pattern: `*${CANARY}*`, why: CANARY });
  const stop = new AbortController();
  const stream = await fetch(`${admin}/api/stream`, { signal: stop.signal });
  let sent = '';
  const end = Date.now() + 6000;
  for await (const chunk of stream.body) {
    sent += new TextDecoder().decode(chunk);
    if (Date.now() > end) break;
  }
  stop.abort();
  assert.match(sent, /event: tick/);
  const traces = await (await fetch(`${admin}/api/traces`)).json();
  const places = ['/', '/api/state', '/api/lines', '/api/traces', '/api/tiles', '/api/routes', '/metrics', ...traces.slice(0, 20).map((trace) => `/api/traces/${trace.trace_id}`)];
  for (const path of places) assert.ok(!(await (await fetch(admin + path)).text()).includes(CANARY), path);
  assert.ok(!sent.includes(CANARY), 'the stream');
  assert.ok(!(await page.content()).includes(CANARY), 'the page');
});

test('an open page takes less than 3 KB a second under load', { skip: !FULL }, async () => {
  const session = await page.createCDPSession();
  await session.send('Network.enable');
  let bytes = 0;
  session.on('Network.dataReceived', (event) => { bytes += event.encodedDataLength || event.dataLength; });
  await sleep(1000);
  bytes = 0;
  const begun = Date.now();
  while (Date.now() - begun < 60_000) await load(1);
  const rate = bytes / ((Date.now() - begun) / 1000) / 1000;
  console.log(`one open page: ${rate.toFixed(2)} KB/s`);
  assert.ok(rate <= 3, `${rate} KB/s`);
});

test('the page says when answers stop, and goes on when they come again', async () => {
  await shoot('collector-down');
  platform.kill('SIGSTOP');
  try {
    await until('the page is gray', () => page.$eval('body', (body) => body.classList.contains('stale')));
    assert.match(await text('#stale'), /the last answer came \d+ s ago/);
    await shoot('stopped');
  } finally {
    platform.kill('SIGCONT');
  }
  await until('the page is live', () => page.$eval('body', (body) => !body.classList.contains('stale')));
  assert.equal(await page.$eval('#stale', (node) => node.hidden), true);
});

test('each dependency that is down is named, and its finding stands first', { skip: !FULL }, async () => {
  const nobody = 'http://127.0.0.1:9';
  const cases = [
    ['idle', { OTEL_TRACES_EXPORTER: 'none' }, null, null],
    ['collector', { OTEL_EXPORTER_OTLP_ENDPOINT: nobody, OTEL_BSP_SCHEDULE_DELAY: '200' }, 'collector_unreachable', 'trace collector'],
    ['aws', { OTEL_TRACES_EXPORTER: 'none', OPS_SECRETS_AWS: 'on', AWS_ENDPOINT_URL: nobody, AWS_REGION: 'eu-central-1', AWS_ACCESS_KEY_ID: 'AKIAIOSFODNN7EXAMPLE', AWS_SECRET_ACCESS_KEY: CANARY }, 'aws_unreachable', 'secrets'],
    ['provider', { OTEL_TRACES_EXPORTER: 'none', MAPBOX_ACCESS_TOKEN: `pk.${CANARY}`, KEARNEY_MAPBOX_URL: nobody }, 'provider_failing', null],
  ];
  for (const [name, variables, finding, dependency] of cases) {
    const home = mkdtempSync(join(tmpdir(), 'admin-page-'));
    const other = await start(home, variables);
    try {
      await page.setViewport({ width: 1350, height: 940 });
      await page.goto(other.admin, { waitUntil: 'load' });
      await until('the page is drawn', () => page.$('body:not(.loading) #dependencies-t tbody tr'));
      await until(`the finding ${finding}`, async () => {
        if (!finding) return true;
        await Promise.all([1, 2, 3, 4].map((at) => fetch(`${other.api}/api/isochrone?lat=3${at}.${Date.now() % 1000}&lon=-100&minutes=10&mode=walking`).then((answer) => answer.text())));
        return (await page.$eval('#findings > li', (first) => first.id).catch(() => '')) === `finding-${finding}`;
      });
      if (dependency) await until(`${dependency} is down`, () => page.$$eval('#dependencies-t tbody tr', (rows, wanted) => rows.some((row) => row.cells[0].textContent.includes(wanted) && row.cells[1].textContent !== 'up'), dependency));
      if (!finding) await sleep(30_000);
      await shoot(finding ? `${name}-is-down` : name, { fullPage: true });
      assert.ok(!(await page.content()).includes(CANARY), name);
    } finally {
      await stop(other.child);
      rmSync(home, { recursive: true, force: true });
    }
  }
});

test('after a kill the page goes on with what was before, and answers questions', async () => {
  const home = mkdtempSync(join(tmpdir(), 'admin-page-'));
  const token = 'token-of-the-operator';
  const variables = { OPS_HISTORY_DIR: join(home, 'history'), OPS_ADMIN_TOKEN: token, OTEL_TRACES_EXPORTER: 'none' };
  const headers = { authorization: `Bearer ${token}`, 'x-ops-admin': '1', 'content-type': 'application/json' };
  const first = await start(home, variables);
  // each flush takes a sample of the metrics, and two samples give a rate
  for (let round = 0; round < 3; round += 1) {
    await Promise.all(PATHS.map((path) => fetch(first.api + path, { headers: { 'user-agent': HOSTILE } }).then((answer) => answer.text())));
    const flushed = await (await fetch(`${first.admin}/api/history/flush`, { method: 'POST', headers, body: '{}' })).json();
    assert.equal(flushed.written, true);
    await sleep(11_000);
  }
  first.child.kill('SIGKILL');
  await new Promise((done) => first.child.on('exit', done));
  rmSync(join(home, 'data', 'addresses.json'), { force: true });
  const second = await start(home, variables);
  const other = await browser.newPage();
  const said = [];
  other.on('pageerror', (error) => said.push(error.message));
  try {
    await other.setExtraHTTPHeaders({ authorization: `Bearer ${token}` });
    await other.setViewport({ width: 1350, height: 940 });
    await other.goto(`${second.admin}/#window=1h`, { waitUntil: 'load' });
    const of = (selector) => other.$eval(selector, (node) => node.textContent);
    // the line of requests starts left of the restart mark
    await until('the chart of before', () => other.$$eval('.tile', (tiles) => {
      const chart = tiles.find((tile) => tile.querySelector('h3').textContent === 'Requests')?.querySelector('svg');
      const begin = Number(/^M([\d.]+)/.exec(chart?.querySelector('.line').getAttribute('d') ?? '')?.[1] ?? Infinity);
      const mark = chart?.querySelector('.restart');
      return !!mark && !mark.hasAttribute('hidden') && begin < Number(mark.getAttribute('x1'));
    }));
    await until('the lines of before', async () => /^the last \d+ lines before this start/.test(await of('#before-about')));
    assert.match(await of('#before-l'), /request_completed/);
    assert.match(await of('#history-about'), /^run 2 of /);
    await other.select('#history-f [name="name"]', 'runs');
    await other.$eval('#history-f', (form) => form.requestSubmit());
    await until('the runs', async () => (await other.$$('#history-t tbody tr')).length === 2);
    assert.match(await of('#history-f output'), /^2 rows of \d+ files in /);
    await other.type('#sql-f textarea', "SELECT url_path, count(*) AS n, 12345678901234567890123::HUGEINT AS big FROM requests WHERE run = 1 GROUP BY url_path ORDER BY n DESC");
    await other.$eval('#sql-f', (form) => form.requestSubmit());
    await until('the answer', async () => (await of('#history-t')).includes('12345678901234567890123'));
    assert.equal(await other.evaluate(() => globalThis.hacked), undefined);
    for (const [name, scheme, width] of [['history', 'light', 1350], ['history-dark', 'dark', 1350], ['history-narrow', 'light', 390]]) {
      await other.setViewport({ width, height: 940 });
      await other.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }, { name: 'prefers-reduced-motion', value: 'reduce' }]);
      await other.evaluate(AXE);
      const found = await other.evaluate(() => globalThis.axe.run());
      assert.deepEqual(found.violations.flatMap((rule) => rule.nodes.map((node) => `${rule.id} ${node.target}`)), []);
      assert.ok(await other.evaluate(() => document.scrollingElement.scrollWidth <= innerWidth), 'the page is not wider than the screen');
      await other.evaluate(() => document.querySelector('#history').scrollIntoView());
      if (process.env.SHOTS) await other.screenshot({ path: join(process.env.SHOTS, `${name}.png`) });
      await other.evaluate(() => scrollTo(0, 0));
      if (process.env.SHOTS) await other.screenshot({ path: join(process.env.SHOTS, `${name}-charts.png`) });
    }
    await other.$eval('#sql-f textarea', (box) => { box.value = "SELECT * FROM read_text('/etc/passwd')"; });
    await other.$eval('#sql-f', (form) => form.requestSubmit());
    await until('it is refused', async () => (await of('#sql-f output')).includes('disabled by configuration'));
    assert.deepEqual(said, []);
  } finally {
    await other.close();
    await stop(second.child);
    rmSync(home, { recursive: true, force: true });
  }
});

test('a terminal gets a summary', () => {
  const summary = execFileSync('curl', ['-s', admin], { encoding: 'utf8' });
  assert.match(summary, /^kearney-platform-api .*: (OK|DEGRADED|FAILING), up /);
  assert.match(summary, /GET \/api\/flights\/summary/);
});

test('the types of the modules are right', () => {
  const options = ['--noEmit', '--allowJs', '--checkJs', '--strict', '--target', 'es2023', '--module', 'esnext', '--moduleResolution', 'bundler', '--lib', 'es2024,dom,dom.iterable'];
  const types = new URL('node_modules/typescript/bin/tsc', import.meta.url).pathname;
  execFileSync(process.execPath, [types, ...options, join(ROOT, 'crates/ops-admin/assets/page.js')], { stdio: 'inherit' });
});
