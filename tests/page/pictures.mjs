// @ts-check
// Draws the pages of all scenes.
//
//   EXPORTER=PROGRAM CHROMIUM=PROGRAM node pictures.mjs FOLDER
import { join } from 'node:path';

import { Browser } from './browser.mjs';
import { Daemon } from './daemon.mjs';
import { MAIN, SCENES } from './scenes.mjs';

const WIDE = { width: 1440, height: 900 };
const PHONE = { width: 390, height: 844 };
const folder = process.argv[2] ?? '.';

/** @type {{ name: string, scene: string, path?: string, viewport?: typeof WIDE, dark?: boolean, status?: number }[]} */
const PICTURES = [
  { name: 'set-up', scene: 'empty' },
  { name: 'all-well', scene: 'all-well' },
  { name: 'off-air', scene: 'off-air' },
  { name: 'off-air-dark', scene: 'off-air', dark: true },
  { name: 'off-air-phone', scene: 'off-air', viewport: PHONE },
  { name: 'input', scene: 'off-air', path: `inputs/${MAIN}` },
  { name: 'exception', scene: 'off-air', path: `actions/expect?input=${MAIN}` },
  { name: 'unrecognized', scene: 'off-air', path: 'unrecognized' },
  { name: 'confirmation', scene: 'off-air', path: `actions/forget?input=${MAIN}` },
  { name: 'error', scene: 'off-air', path: '?sort=colour', status: 400 },
  { name: 'not-ready', scene: 'not-ready' },
  { name: 'many', scene: 'many' },
];

for (const [name, { start, happen }] of Object.entries(SCENES)) {
  const pictures = PICTURES.filter(({ scene }) => scene === name);
  const daemon = await Daemon.start(start);
  const browser = await Browser.open();
  try {
    await happen(daemon);
    for (const { name, path = '', viewport = WIDE, dark, status } of pictures) {
      const page = await browser.page(new URL(path, daemon.url).href, { ...(status ? { status } : {}), allowed: /status of 400/ });
      await page.setViewportSize(viewport);
      await page.emulateMedia({ colorScheme: dark ? 'dark' : 'light' });
      await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
      await page.close();
    }
    browser.passed();
  } finally {
    await browser.close();
    await daemon.stop();
  }
}
