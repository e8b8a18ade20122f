// @ts-check
// The ids of units, from Grafana itself: the generated types call a unit any text.
import { createRequire } from 'node:module';

/** The source of a module with the type `Unit`. */
export function units() {
  // Grafana's list asks the browser for its language, and node has a browser's `navigator` only since version 21.
  globalThis.navigator ??= /** @type {any} */ ({ language: 'en-US', languages: ['en-US'] });
  /** @type {typeof import('@grafana/data')} */
  const { getValueFormats } = createRequire(import.meta.url)('@grafana/data');
  const ids = getValueFormats().flatMap(({ submenu }) => submenu.map(({ value }) => JSON.stringify(value)));
  if (ids.length < 100) throw new Error(`Grafana knows ${ids.length} units only`);
  // A unit may also be a text of one's own, behind the number.
  return `export type Unit = ${ids.join(' | ')} | \`suffix:\${string}\`;\n`;
}
