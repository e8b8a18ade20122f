// @ts-check
// The ids of units, from Grafana itself: the generated types call a unit any text.
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

import { buildSync } from 'esbuild';

/** The source of a module with the type `Unit`. */
export function units() {
  const ids = valueFormats().map((id) => JSON.stringify(id));
  if (ids.length < 100) throw new Error(`Grafana knows ${ids.length} units only`);
  // A unit may also be a text of one's own, behind the number.
  return `export type Unit = ${ids.join(' | ')} | \`suffix:\${string}\`;\n`;
}

/**
 * Asks Grafana's list. The package is for browsers: as it is, node 18 cannot load it, but a bundle of the part it can.
 *
 * @returns {string[]}
 */
function valueFormats() {
  const { outputFiles } = buildSync({
    stdin: {
      contents: `import { getValueFormats } from '@grafana/data';
        module.exports = getValueFormats().flatMap(({ submenu }) => submenu.map(({ value }) => value));`,
      resolveDir: dirname(fileURLToPath(import.meta.url)),
    },
    bundle: true,
    write: false,
    platform: 'node',
    format: 'cjs',
    logLevel: 'error',
  });
  // The list asks the browser for its language, and node has a browser's `navigator` only since version 21.
  const navigator = { language: 'en-US', languages: ['en-US'] };
  const module = { exports: [] };
  const run = new Function('module', 'require', 'navigator', outputFiles[0]?.text ?? '');
  run(module, createRequire(import.meta.url), navigator);
  return module.exports;
}
