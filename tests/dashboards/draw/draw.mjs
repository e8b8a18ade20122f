// @ts-check
// Draws every dashboard in a real browser and fails if anything in it is missing or wrong.
//
//   CHROMIUM=PROGRAM node draw/draw.mjs --dashboards FOLDER --prometheus URL --end SECONDS [--shots FOLDER]
//
// The page's clock is fixed at the end of the history, so that every run has the same "now". With --shots the pictures
// are kept. A copy of a dashboard with faults is drawn too: the drawing must report all of them.
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { parseArgs } from 'node:util';

import { chromium } from 'playwright-core';

import { FLAGS } from '../../chromium.mjs';
import { EMPTY, VARIABLES } from './expectations.mjs';
import { findAll, withFaults } from './faults.mjs';
import { serve } from './server.mjs';

/** @typedef {{ where: string, what: string, empty?: number }} Problem */
/** @typedef {{ title: string, panels: number, problems: Problem[] }} Drawing */

const WIDTH = 1600;
/** Height of a large screen: the part that documents show. */
const FIRST_SCREEN = 780;
/** @type {Record<string, string>} */
const FIRST_SCREENS = { 'overview.png': 'overview-first.png' };
// Higher than every dashboard, because tables do not paint outside of the window.
const HEIGHT = 6000;
const TIMEOUT = 120_000;
const FAULTY = 'with-faults';

const { values: options } = parseArgs({
  options: {
    dashboards: { type: 'string' },
    prometheus: { type: 'string' },
    end: { type: 'string' },
    shots: { type: 'string' },
  },
});

/** @param {'dashboards' | 'prometheus' | 'end'} name */
function needed(name) {
  const value = options[name];
  if (!value) throw new Error(`--${name} is missing`);
  return value;
}

/**
 * One page, drawn.
 *
 * @param {import('playwright-core').Browser} browser @param {string} url @param {Date} now @param {string} [picture]
 * @returns {Promise<Drawing>}
 */
async function draw(browser, url, now, picture) {
  const context = await browser.newContext({
    viewport: { width: WIDTH, height: HEIGHT },
    timezoneId: 'UTC',
    locale: 'en-US',
  });
  try {
    const page = await context.newPage();
    /** @type {Problem[]} */
    const reported = [];
    page.on('pageerror', ({ message }) => reported.push({ where: 'page', what: message }));
    page.on('console', (entry) => {
      if (entry.type() === 'error')
        reported.push({ where: 'console', what: `${entry.text()} (${entry.location().url})` });
    });
    page.setDefaultTimeout(TIMEOUT);
    await page.clock.setFixedTime(now);
    await page.goto(url);
    await page.waitForFunction('window.drawing !== undefined');
    const drawing = /** @type {Drawing} */ (await page.evaluate('window.drawing'));
    if (picture && drawing.panels > 0) {
      await page.locator('main').screenshot({ path: picture, animations: 'disabled' });
      const first = FIRST_SCREENS[basename(picture)];
      const clip = { x: 0, y: 0, width: WIDTH, height: FIRST_SCREEN };
      if (first) await page.screenshot({ path: join(dirname(picture), first), clip, animations: 'disabled' });
    }
    return { ...drawing, problems: [...drawing.problems, ...reported] };
  } finally {
    await context.close();
  }
}

/**
 * All problems except panels that are expected to be empty, and panels that should be empty and are not.
 *
 * @param {string} name @param {Problem[]} problems
 */
function unexpected(name, problems) {
  const expected = Object.keys(EMPTY[name] ?? {}).map(Number);
  const isExpected = (/** @type {Problem} */ { empty }) => empty !== undefined && expected.includes(empty);
  const stale = expected.filter((id) => !problems.some(({ empty }) => empty === id));
  return [
    ...problems.filter((problem) => !isExpected(problem)).map(({ where, what }) => `${where}: ${what}`),
    ...stale.map((id) => `panel ${id}: has data, so remove it from EMPTY in expectations.mjs`),
  ];
}

async function main() {
  const folder = needed('dashboards');
  const now = new Date(Number(needed('end')) * 1000);
  const names = readdirSync(folder)
    .filter((file) => file.endsWith('.json'))
    .map((file) => basename(file, '.json'));
  const read = (/** @type {string} */ name) => readFileSync(join(folder, `${name}.json`), 'utf8');
  const faulty = names.includes('stream-live-overview')
    ? withFaults(JSON.parse(read('stream-live-overview')))
    : undefined;
  if (!faulty) throw new Error(`${folder} has no stream-live-overview.json`);

  const server = await serve({
    prometheus: new URL(needed('prometheus')),
    dashboard: (file) =>
      file === `${FAULTY}.json`
        ? JSON.stringify(faulty)
        : names.includes(basename(file, '.json'))
          ? read(basename(file, '.json'))
          : undefined,
  });
  const browser = await chromium.launch({ executablePath: process.env['CHROMIUM'] ?? 'chromium', args: FLAGS });
  let problems = 0;
  try {
    for (const name of names) {
      const started = Date.now();
      const search = new URLSearchParams({ dashboard: name, ...VARIABLES[name] });
      const picture = options.shots && join(options.shots, `${name.replace('stream-live-', '')}.png`);
      if (options.shots) mkdirSync(options.shots, { recursive: true });
      const drawing = await draw(browser, `${server.url}/?${search}`, now, picture);
      const found = unexpected(name, drawing.problems);
      found.forEach((problem) => console.error(`${name}: ${problem}`));
      problems += found.length;
      const size = picture && existsSync(picture) ? `, ${Math.round(statSync(picture).size / 1024)} kB` : '';
      console.log(
        `drawn: ${drawing.title}, ${drawing.panels} panels, ${found.length} problems, ${Date.now() - started} ms${size}`,
      );
    }
    const { problems: found } = await draw(browser, `${server.url}/?dashboard=${FAULTY}`, now);
    const missed = findAll(found);
    missed.forEach((fault) => console.error(`the drawing does not report that ${fault}`));
    problems += missed.length;
  } finally {
    await browser.close();
    await server.close();
  }
  process.exitCode = problems === 0 ? 0 : 1;
}

await main();
