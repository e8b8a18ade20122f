// @ts-check
// The ids of units, from Grafana itself, because its types accept any text as a unit.
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

import { buildSync } from 'esbuild';

/** The source of a module with the type `Unit`. */
export function units() {
  const ids = valueFormats().map((id) => JSON.stringify(id));
  if (ids.length < 100) throw new Error(`Grafana only has ${ids.length} units`);
  // A unit can also be a custom suffix.
  return `export type Unit = ${ids.join(' | ')} | \`suffix:\${string}\`;\n`;
}

/**
 * Reads Grafana's list. Node 18 cannot load the package, which is for browsers, but can load a bundle of this part.
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
  // The list reads the browser's language, and node has `navigator` only since version 21.
  const navigator = { language: 'en-US', languages: ['en-US'] };
  const module = { exports: [] };
  const run = new Function('module', 'require', 'navigator', outputFiles[0]?.text ?? '');
  run(module, createRequire(import.meta.url), navigator);
  return module.exports;
}
