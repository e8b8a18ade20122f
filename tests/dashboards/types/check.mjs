// @ts-check
// Type-checks the dashboards, and tests the check with faulty copies.
//
//   node types/check.mjs FOLDER
//
// Every dashboard becomes a module `{ the JSON } satisfies Dashboard`, with the line numbers of the JSON. So do copies
// with one fault each. One run of the compiler checks all of them, the renderer and these scripts.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { FAULTS, NotHere, UNSEEN } from './faults.mjs';
import { units } from './units.mjs';

/** @typedef {import('./faults.mjs').Json} Json */
/** @typedef {{ file: string, text: string, dashboard: Json }} Source */

const home = dirname(dirname(fileURLToPath(import.meta.url)));
const build = join(home, 'build/types');

/** @param {string} folder @returns {Source[]} */
function read(folder) {
  const files = readdirSync(folder).filter((name) => name.endsWith('.json'));
  if (files.length === 0) throw new Error(`no dashboards in ${folder}`);
  return files.map((name) => {
    const text = readFileSync(join(folder, name), 'utf8');
    return { file: join(folder, name), text, dashboard: JSON.parse(text) };
  });
}

/** @param {string} name @param {string} json */
function write(name, json) {
  const prologue = "import type { Dashboard } from '../../types/dashboard'; export const dashboard = ";
  writeFileSync(join(build, `${name}.ts`), `${prologue}${json.trimEnd()} satisfies Dashboard;\n`);
}

/**
 * A copy of the first dashboard in which the fault can be made, with the fault in it.
 *
 * @param {Source[]} sources @param {string} fault @param {(dashboard: Json) => void} make
 */
function withFault(sources, fault, make) {
  for (const { dashboard } of sources) {
    const copy = structuredClone(dashboard);
    try {
      make(copy);
      return JSON.stringify(copy, null, 2);
    } catch (error) {
      if (!(error instanceof NotHere)) throw new Error(`fault "${fault}"`, { cause: error });
    }
  }
  return null;
}

/** The compiler's messages. Indented lines belong to the message before. */
function compile() {
  const tsc = join(home, 'node_modules/typescript/bin/tsc');
  const run = spawnSync(process.execPath, [tsc, '--project', home, '--pretty', 'false'], {
    encoding: 'utf8',
    cwd: home,
  });
  if (run.error || run.status === null || run.stderr)
    throw new Error(`the compiler cannot run: ${run.stderr}`, { cause: run.error });
  const messages = run.stdout.split(/\n(?! )/).filter(Boolean);
  if ((run.status === 0) !== (messages.length === 0)) throw new Error(`the compiler fails: ${run.stdout}`);
  return messages;
}

/** @param {string} message */
const moduleOf = (message) => basename(message.split('(')[0] ?? '', '.ts');

/** @param {string[]} args */
function main([folder]) {
  if (!folder) throw new Error('usage: node types/check.mjs FOLDER');
  const sources = read(resolve(folder));
  rmSync(build, { recursive: true, force: true });
  mkdirSync(build, { recursive: true });
  writeFileSync(join(build, 'units.ts'), units());
  sources.forEach(({ file, text }) => write(basename(file, '.json'), text));

  const kinds = { rejected: FAULTS, unseen: UNSEEN };
  /** @type {string[]} */
  const problems = [];
  /** @type {Map<string, { fault: string, reject: boolean }>} */
  const faults = new Map();
  for (const [kind, makers] of Object.entries(kinds)) {
    for (const [fault, make] of Object.entries(makers)) {
      const json = withFault(sources, fault, make);
      const name = `fault-${faults.size + 1}`;
      if (json) faults.set(name, { fault, reject: kind === 'rejected' });
      else problems.push(`no dashboard has a place for this fault: ${fault}`);
      if (json) write(name, json);
    }
  }

  const messages = compile();
  const rejected = new Set(messages.map(moduleOf));
  for (const [name, { fault, reject }] of faults) {
    if (reject !== rejected.has(name)) problems.push(`${reject ? 'not rejected' : 'rejected, so it is not unseen'}: ${fault}`);
  }
  for (const message of messages.filter((each) => !faults.has(moduleOf(each)))) {
    const source = sources.find(({ file }) => basename(file, '.json') === moduleOf(message));
    problems.push(source ? message.replace(/^[^(]*/, relative(process.cwd(), source.file)) : message);
  }

  problems.forEach((problem) => console.error(problem));
  const caught = Object.keys(FAULTS).length;
  console.log(`types: ${sources.length} dashboards, ${caught} faults to reject, ${problems.length} problems`);
  Object.keys(UNSEEN).forEach((fault) => console.log(`types do not detect that ${fault}`));
  process.exitCode = problems.length === 0 ? 0 : 1;
}

main(process.argv.slice(2));
