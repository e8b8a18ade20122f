// @ts-check
// What the pages show, and that they keep working under every condition. The first lines of `check` say more.
import assert from 'node:assert/strict';
import { createServer, request } from 'node:http';
import { after, describe, it } from 'node:test';

import { Browser, inspect, inspectKeyboard, TIMEOUT } from './browser.mjs';
import { Daemon, ago } from './daemon.mjs';
import { CHAPEL, MAIN, SCENES } from './scenes.mjs';

/** @typedef {import('playwright-core').Page} Page */

// bcrypt of "passwort", with the lowest cost.
const USERS = 'basic_auth_users:\n  operator: $2b$04$RJyvpAQGFPfXXyhoXo.nQeLC4eB2ZFBLfj.HWDWnFMQ0IUaJ8uHCK\n';

/** Runs with the daemon of a scene and a browser. @param {string} scene @param {(daemon: Daemon, browser: Browser) => Promise<void>} run @param {import('playwright-core').BrowserContextOptions} [options] */
async function inScene(scene, run, options) {
  const { start, happen } = SCENES[scene] ?? assert.fail(scene);
  const daemon = await Daemon.start(start);
  try {
    await happen(daemon);
    await inBrowser((browser) => run(daemon, browser), options);
  } finally {
    await daemon.stop();
  }
}

/** @param {(browser: Browser) => Promise<void>} run @param {import('playwright-core').BrowserContextOptions} [options] */
async function inBrowser(run, options) {
  const browser = await Browser.open(options);
  try {
    await run(browser);
    browser.passed();
  } finally {
    await browser.close();
  }
}

/** Waits until the page gets updates. @param {Page} page */
const live = (page) => page.locator('#updates.ok').waitFor();

/** The state of an input in the list. @param {Page} page @param {string} id */
const stateOf = (page, id) => page.locator(`#row-${id} .badge`).first();

describe('status page', { timeout: 10 * TIMEOUT }, () => {
  it('shows the states that the metrics have', () =>
    inScene('off-air', async (daemon, browser) => {
      const page = await browser.page(daemon.url);
      const connected = await daemon.metric('stream_live_exporter_input_connected');
      const expected = await daemon.metric('stream_live_exporter_input_expected');
      assert.ok(expected.size >= 5);
      for (const [id, isExpected] of expected) {
        const state = connected.get(id);
        const off = isExpected ? 'off-expected' : 'off';
        const shown = state === undefined ? 'unknown' : state ? 'live' : off;
        assert.ok((await stateOf(page, id).getAttribute('class'))?.split(' ').includes(shown), `${id}: ${shown}`);
      }
    }));
});
