// @ts-check
// What the pages show, and that they keep working under every condition. The first lines of `check` say more.
import assert from 'node:assert/strict';
import { createServer, request } from 'node:http';
import { describe, it } from 'node:test';

import { Browser, inspect, inspectKeyboard, TIMEOUT } from './browser.mjs';
import { Daemon, ago, freePort } from './daemon.mjs';
import { CHAPEL, LOBBY, MAIN, SCENES } from './scenes.mjs';

/** @typedef {import('playwright-core').Page} Page */

// Hash of PASSWORD, a test vector of bcrypt.
const PASSWORD = 'U*U';
const USERS = 'basic_auth_users:\n  operator: $2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\n';

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

/** An input in the list that has this state. @param {Page} page @param {string} id @param {string} state */
const inState = (page, id, state) => page.locator(`#row-${id} .badge.${state}`).first();

describe('status page', { timeout: 10 * TIMEOUT }, () => {
  it('shows the states that the metrics have', () =>
    inScene('off-air', async (daemon, browser) => {
      const page = await browser.page(daemon.url);
      const connected = await daemon.metric('cloudflare_stream_live_input_connected');
      const expected = await daemon.metric('cloudflare_stream_live_input_expected');
      assert.ok(expected.size >= 5);
      let missing = 0;
      for (const [id, isExpected] of expected) {
        const state = connected.get(id);
        const shown = state === undefined ? 'unknown' : state ? 'live' : isExpected ? 'off-expected' : 'off';
        await inState(page, id, shown).waitFor();
        missing += Number(isExpected && state !== 1);
      }
      const numbers = (await page.locator('#banner h1').innerText()).match(/\d+/g)?.map(Number);
      assert.deepEqual(numbers, [missing, [...expected.values()].filter(Boolean).length]);
      assert.equal(await page.locator('#banner.bad').count(), 1);
    }));

  it('updates when a notification arrives, and keeps what the reader does', () =>
    inScene('off-air', async (daemon, browser) => {
      const page = await browser.page(daemon.url);
      await live(page);
      const search = page.getByRole('searchbox').or(page.locator('input[name=search]')).first();
      await search.fill('stage');
      await search.evaluate((/** @type {HTMLInputElement} */ field) => field.setSelectionRange(1, 4));
      await daemon.event(MAIN, 'connected', ago(1));
      await inState(page, MAIN, 'live').waitFor();
      const kept = await search.evaluate((/** @type {HTMLInputElement} */ field) => [
        field.value,
        field.selectionStart,
        field.selectionEnd,
        document.activeElement === field,
      ]);
      assert.deepEqual(kept, ['stage', 1, 4, true]);
      // The list is in another order now. The link that has the focus moves with its row.
      const link = page.locator(`#row-${CHAPEL} a`).first();
      await link.focus();
      await daemon.event(CHAPEL, 'connected', ago(0));
      await inState(page, CHAPEL, 'live').waitFor();
      assert.ok(await link.evaluate((element) => document.activeElement === element));
      await page.locator('#banner.ok').waitFor();
    }));

  it('updates the page of an input, too', () =>
    inScene('off-air', async (daemon, browser) => {
      const page = await browser.page(new URL(`inputs/${MAIN}`, daemon.url).href);
      await live(page);
      await page.locator('.badge.off-expected').first().waitFor();
      const rows = page.locator('#records tbody tr');
      const before = await rows.count();
      await daemon.event(MAIN, 'connected', ago(1));
      await page.locator('.badge.live').first().waitFor();
      await page.waitForFunction((count) => document.querySelectorAll('#records tbody tr').length > count, before);
    }));

  it('ticks the steps of the set-up as they happen', () =>
    inScene('empty', async (daemon, browser) => {
      const page = await browser.page(daemon.url);
      await live(page);
      const ticked = page.locator('#setup .ticked');
      const before = await ticked.count();
      assert.equal(await daemon.post(JSON.stringify({ text: 'Hello World! This is a test message.' })), 200);
      await page.waitForFunction((count) => document.querySelectorAll('#setup .ticked').length > count, before);
      await daemon.event(MAIN, 'connected', ago(1));
      await inState(page, MAIN, 'live').waitFor();
      await page.locator('#setup').waitFor({ state: 'detached' });
    }));

  it('works without scripts', () =>
    inScene(
      'off-air',
      async (daemon, browser) => {
        const page = await browser.page(daemon.url);
        await page.locator('input[name=search]').fill('chap');
        await page.keyboard.press('Enter');
        await page.waitForURL(/search=chap/);
        await inState(page, CHAPEL, 'off-expected').waitFor();
        assert.equal(await page.locator('[id^=row-]').count(), 1);
        assert.equal(await page.locator('#updates').innerText(), '');
      },
      { javaScriptEnabled: false },
    ));

  it('has no fault that axe-core finds, and the keyboard reaches everything', () =>
    inScene('off-air', async (daemon, browser) => {
      const faults = [];
      for (const { path, status } of PAGES) {
        for (const check of [inspect, inspectKeyboard]) {
          await browser
            .page(new URL(path, daemon.url).href, { status, allowed: /status of 40/ })
            .then((page) => check(page).finally(() => page.close()))
            .catch((error) => faults.push(`${path}: ${error.message}`));
        }
      }
      assert.deepEqual(faults, []);
    }));

  it('works behind a subpath of a proxy', () =>
    inScene('off-air', (daemon, browser) =>
      behindProxy(daemon, async (url) => {
        const page = await browser.page(url);
        await live(page);
        const links = await page.locator('a[href]').evaluateAll((all) => all.map((link) => /** @type {HTMLAnchorElement} */ (link).href));
        const own = links.filter((link) => new URL(link).host === new URL(url).host);
        assert.ok(own.length > 5 && own.every((link) => link.startsWith(url)), own.join(' '));
        await daemon.event(MAIN, 'connected', ago(1));
        await inState(page, MAIN, 'live').waitFor();
        await page.locator('a[href*="actions/"]').first().click();
        await page.waitForURL(`${url}actions/**`);
        await page.getByRole('link', { name: 'Stream Live Exporter' }).click();
        await page.waitForURL(url);
      }),
    ));

  it('asks for a password if the listener has users', async () => {
    const authorization = `Basic ${Buffer.from(`operator:${PASSWORD}`).toString('base64')}`;
    const files = { 'web.yml': USERS };
    const daemon = await Daemon.start({ files, arguments: ['--web.config.file=web.yml'], authorization });
    try {
      assert.equal((await fetch(daemon.url)).status, 401);
      assert.equal((await fetch(new URL('updates?page=', daemon.url))).status, 401);
      const httpCredentials = { username: 'operator', password: PASSWORD };
      const withPassword = async (/** @type {Browser} */ browser) => {
        const page = await browser.page(daemon.url);
        await live(page);
        await daemon.event(MAIN, 'connected', ago(1));
        await inState(page, MAIN, 'live').waitFor();
      };
      await inBrowser(withPassword, { httpCredentials });
    } finally {
      await daemon.stop();
    }
  });

  it('says that it does not update when too many pages are open', () =>
    inScene('all-well', async (daemon, browser) => {
      const streams = await Promise.all(Array.from({ length: 128 }, () => fetch(new URL('updates?page=', daemon.url))));
      assert.ok(streams.every(({ ok }) => ok));
      const page = await browser.page(daemon.url, { allowed: /status of 503/ });
      await page.locator('#updates.warn').waitFor();
      await Promise.all(streams.map(({ body }) => body?.cancel()));
    }));

  it('reconnects after a restart, and shows what has changed', async () => {
    const port = await freePort();
    const options = { ...SCENES['all-well']?.start, web: port };
    const first = await Daemon.start(options);
    await inBrowser(async (browser) => {
      const page = await browser.page(first.url, { allowed: /ERR_|status of 50/ });
      await live(page);
      await first.stop();
      await page.locator('#updates.warn').waitFor();
      const second = await Daemon.start(options);
      try {
        await second.event(LOBBY, 'connected', ago(1));
        await live(page);
        await inState(page, LOBBY, 'live').waitFor();
      } finally {
        await second.stop();
      }
    }).finally(() => first.stop());
  });
});

/** Every kind of page. */
const PAGES = [
  { path: '', status: 200 },
  { path: '?search=stage&sort=name', status: 200 },
  { path: `inputs/${MAIN}`, status: 200 },
  { path: 'inputs/none', status: 404 },
  { path: 'unrecognized', status: 200 },
  { path: 'unrecognized/1', status: 200 },
  { path: `actions/forget?input=${MAIN}`, status: 200 },
  { path: `actions/expect?input=${MAIN}`, status: 200 },
  { path: '?sort=colour', status: 400 },
];

/**
 * A proxy that serves the daemon below `/exporter/`.
 *
 * @param {Daemon} daemon @param {(url: string) => Promise<void>} run
 */
async function behindProxy(daemon, run) {
  const proxy = createServer((incoming, response) => {
    const { method, headers, url = '' } = incoming;
    if (!url.startsWith('/exporter/')) return void response.writeHead(404).end();
    const forwarded = request(new URL(url.slice('/exporter/'.length), daemon.url), { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
      response.on('close', () => answer.destroy());
    });
    forwarded.on('error', () => response.destroy());
    incoming.pipe(forwarded);
  });
  await new Promise((/** @type {(_: void) => void} */ resolve) => proxy.listen(0, '127.0.0.1', resolve));
  try {
    const { port } = /** @type {import('node:net').AddressInfo} */ (proxy.address());
    await run(`http://127.0.0.1:${port}/exporter/`);
  } finally {
    proxy.closeAllConnections();
    proxy.close();
  }
}
