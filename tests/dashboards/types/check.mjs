// @ts-check
// Type-checks the dashboards, and tests the check with faulty copies.
//
//   node types/check.mjs FOLDER...
//
// Every dashboard becomes a module `{ the JSON } satisfies Dashboard`, with the line numbers of the JSON. So do copies
// with one fault each. One run of the compiler checks all of them, the renderer and these scripts. Two more runs find the
// oldest Grafana that has all options: its types accept the dashboards, and those of the release before do not.
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

/**
 * A project that compiles the dashboards against another release of Grafana's types.
 *
 * @param {string} schema the installed package @grafana/schema of that release @param {Source[]} sources
 */
function projectOf(schema, sources) {
  const package_ = join(home, 'node_modules', schema, 'dist');
  const paths = {
    '@grafana/schema': [join(package_, 'types/index.d.ts')],
    '@grafana/schema/dist/esm/raw/composable/*': [join(package_, 'esm/raw/composable/*')],
    '@grafana/schema/dist/esm/raw/dashboard/x/Dashboard_types.gen': [
      join(package_, 'types/raw/dashboard/x/dashboard_types.gen.d.ts'),
    ],
  };
  const file = join(build, `${schema}.json`);
  const files = sources.map((source) => `${basename(source.file, '.json')}.ts`);
  writeFileSync(file, JSON.stringify({ extends: '../../tsconfig.json', compilerOptions: { paths }, include: [], files }));
  return file;
}

/**
 * The problems of the dashboards with the oldest release that they are for.
 *
 * @param {Source[]} sources
 */
function checkOldest(sources) {
  const problems = compile(projectOf('grafana-schema-oldest', sources)).map((message) => `oldest Grafana: ${message}`);
  const before = compile(projectOf('grafana-schema-before', sources));
  const own = before.filter((message) => sources.some(({ file }) => basename(file, '.json') === moduleOf(message)));
  if (own.length === 0) problems.push('the Grafana before the oldest one has all options too: require that one');
  if (own.length !== before.length) problems.push(...before.map((message) => `Grafana before the oldest: ${message}`));
  console.log(`types of the Grafana before the oldest one: ${own.length} options missing, as required`);
  return problems;
}

/**
 * The compiler's messages. Indented lines belong to the message before.
 *
 * @param {string} project
 */
function compile(project) {
  const tsc = join(home, 'node_modules/typescript/bin/tsc');
  const run = spawnSync(process.execPath, [tsc, '--project', project, '--pretty', 'false'], {
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

/** @param {string[]} folders */
function main(folders) {
  if (folders.length === 0) throw new Error('usage: node types/check.mjs FOLDER...');
  const sources = folders.flatMap((folder) => read(resolve(folder)));
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

  const messages = compile(home);
  const rejected = new Set(messages.map(moduleOf));
  for (const [name, { fault, reject }] of faults) {
    if (reject !== rejected.has(name)) problems.push(`${reject ? 'not rejected' : 'rejected, so it is not unseen'}: ${fault}`);
  }
  for (const message of messages.filter((each) => !faults.has(moduleOf(each)))) {
    const source = sources.find(({ file }) => basename(file, '.json') === moduleOf(message));
    problems.push(source ? message.replace(/^[^(]*/, relative(process.cwd(), source.file)) : message);
  }

  problems.push(...checkOldest(sources));

  problems.forEach((problem) => console.error(problem));
  const caught = Object.keys(FAULTS).length;
  console.log(`types: ${sources.length} dashboards, ${caught} faults to reject, ${problems.length} problems`);
  Object.keys(UNSEEN).forEach((fault) => console.log(`types do not detect that ${fault}`));
  process.exitCode = problems.length === 0 ? 0 : 1;
}

main(process.argv.slice(2));
