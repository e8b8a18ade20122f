// @ts-check
// Opens pages in a real browser, and notices everything that is wrong with them.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { chromium } from 'playwright-core';

import { FLAGS } from '../chromium.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
export const TIMEOUT = 60_000;

/** @typedef {import('playwright-core').Page} Page */

export class Browser {
  #context;
  #folder;
  #problems = /** @type {string[]} */ ([]);

  /** @param {import('playwright-core').BrowserContextOptions} [options] */
  static async open(options) {
    const folder = mkdtempSync(join(tmpdir(), 'page-browser-'));
    const context = await chromium.launchPersistentContext(folder, {
      executablePath: process.env['CHROMIUM'] ?? '',
      args: FLAGS,
      locale: 'en-GB',
      timezoneId: 'UTC',
      ...options,
    });
    return new Browser(context, folder);
  }

  /** @param {import('playwright-core').BrowserContext} context @param {string} folder */
  constructor(context, folder) {
    this.#context = context;
    this.#folder = folder;
  }

  /**
   * A page that shows this URL.
   *
   * @param {string} url @param {{ status?: number, allowed?: RegExp }} [expected] `allowed`: problems that are none
   */
  async page(url, { status = 200, allowed = /^$/ } = {}) {
    const page = await this.#context.newPage();
    const report = (/** @type {string} */ problem) => {
      if (!allowed.test(problem)) this.#problems.push(problem);
    };
    page.setDefaultTimeout(TIMEOUT);
    page.on('pageerror', ({ message }) => report(`script: ${message}`));
    page.on('console', (entry) => {
      // It reports violations of the content security policy, too.
      if (['error', 'warning'].includes(entry.type())) report(`console: ${entry.text()} (${entry.location().url})`);
    });
    page.on('request', (request) => {
      if (new URL(request.url()).host !== new URL(url).host) report(`request to another host: ${request.url()}`);
    });
    const response = await page.goto(url);
    assert.equal(response?.status(), status, url);
    return page;
  }

  /** Fails if anything was wrong so far. */
  passed() {
    assert.deepEqual(this.#problems, []);
  }

  async close() {
    await this.#context.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Runs axe-core with all its rules, in light and in dark. @param {Page} page */
export async function inspect(page) {
  for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
    await page.emulateMedia({ colorScheme });
    // The page's policy admits no other script, but the debugger's.
    await page.evaluate(AXE);
    const { violations, incomplete } = await page.evaluate(async () => {
      // @ts-ignore
      const results = await globalThis.axe.run(document, {
        runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
      });
      const brief = (/** @type {any} */ { id, nodes }) =>
        `${id}: ${nodes.map((/** @type {any} */ node) => `${node.html} ${node.failureSummary ?? ''}`).join(' | ')}`;
      return { violations: results.violations.map(brief), incomplete: results.incomplete.map(brief) };
    });
    assert.deepEqual(violations, [], `${page.url()}, ${colorScheme}`);
    // What it cannot decide on its own. Contrast on a plain background is decided.
    if (incomplete.length > 0) console.log(`undecided, ${page.url()}, ${colorScheme}: ${incomplete.join('\n')}`);
  }
  await page.emulateMedia({ colorScheme: null });
}

/** Everything that a page lets a user operate. */
const OPERABLE = 'a[href], button, input:not([type=hidden]), select, textarea, summary';

/** Tab reaches everything that can be operated, and shows where it is. @param {Page} page */
export async function inspectKeyboard(page) {
  // The arrow keys move within a group of radio buttons.
  const all = await page.locator(OPERABLE).filter({ visible: true }).evaluateAll((elements) => {
    const name = (/** @type {Element} */ element) => (element instanceof HTMLInputElement && element.type === 'radio' ? element.name : element);
    return new Set(elements.map(name)).size;
  });
  const reached = new Set();
  await page.evaluate(() => (document.activeElement instanceof HTMLElement ? document.activeElement.blur() : undefined));
  for (let pressed = 0; pressed < all + 10 && reached.size < all; pressed++) {
    await page.keyboard.press('Tab');
    const at = await page.evaluate((operable) => {
      const focused = document.activeElement;
      if (!focused || focused === document.body) return undefined;
      const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(focused);
      const isShown = (outlineStyle !== 'none' && outlineWidth !== '0px') || boxShadow !== 'none';
      const index = [...document.querySelectorAll(operable)].indexOf(focused);
      const isRadio = focused instanceof HTMLInputElement && focused.type === 'radio';
      return { index: isRadio ? focused.name : index, html: focused.outerHTML, isShown };
    }, OPERABLE);
    if (!at) continue;
    assert.ok(at.isShown, `focus is not visible: ${at.html}`);
    reached.add(at.index);
  }
  assert.equal(reached.size, all, `${page.url()}: the keyboard reaches ${reached.size} of ${all} elements`);
}
