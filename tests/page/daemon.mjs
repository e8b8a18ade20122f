// @ts-check
// The real program with a folder of its own, and the requests that the checks make.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const PROGRAM = process.env['EXPORTER'] ?? '';

/** The id of input `number`. @param {number} number */
export const inputId = (number) => number.toString(16).padStart(32, '0');

/** The time of this many seconds ago. @param {number} seconds */
export const ago = (seconds) => new Date(Date.now() - seconds * 1000).toISOString();

/** A port that is free now. @returns {Promise<number>} */
export function freePort() {
  const server = createServer();
  return new Promise((resolve) =>
    server.listen(0, '127.0.0.1', () => {
      const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
      server.close(() => resolve(port));
    }),
  );
}

export class Daemon {
  /** @type {import('node:child_process').ChildProcess} */
  #child;
  #holder = /** @type {import('node:child_process').ChildProcess | undefined} */ (undefined);
  #lines = /** @type {Record<string, string>[]} */ ([]);
  #waiting = /** @type {(() => void)[]} */ ([]);
  folder;
  webhook = '';
  /** The private listener's URL, with a slash at its end. */
  url = '';
  /** The value of `authorization` for the private listener. */
  authorization = '';

  /**
   * Starts, and waits until it is ready.
   *
   * @param {{ configuration?: string, files?: Record<string, string>, arguments?: string[], authorization?: string,
   *   until?: string, web?: number }} [options] `until`: the log line to wait for; `web`: the private listener's port
   */
  static async start(options = {}) {
    const daemon = new Daemon(options);
    const listening = await daemon.line('listening');
    daemon.webhook = first(listening['webhook']);
    daemon.url = new URL('/', first(listening['metrics'])).href;
    await daemon.line(options.until ?? 'ready');
    return daemon;
  }

  /** @param {Parameters<typeof Daemon.start>[0]} options */
  constructor({ configuration = '', files = {}, arguments: more = [], authorization = '', web = 0 } = {}) {
    this.folder = mkdtempSync(join(tmpdir(), 'page-'));
    this.authorization = authorization;
    for (const [name, text] of Object.entries({ 'exporter.toml': configuration, ...files }))
      writeFileSync(join(this.folder, name), text);
    const flags = ['--webhook.listen-address=127.0.0.1:0', `--web.listen-address=127.0.0.1:${web}`];
    this.#child = spawn(PROGRAM, [...flags, '--log.format=json', '--config.file=exporter.toml', ...more], {
      cwd: this.folder,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const log = createInterface({ input: /** @type {import('node:stream').Readable} */ (this.#child.stderr) });
    log.on('line', (line) => {
      this.#lines.push(line.startsWith('{') ? JSON.parse(line) : { msg: line });
      this.#wake();
    });
    this.#child.on('exit', () => this.#wake());
  }

  #wake() {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** The first line of the log with this message. @param {string} message */
  async line(message) {
    for (;;) {
      const line = this.#lines.find(({ msg }) => msg === message);
      if (line) return line;
      if (this.#child.exitCode !== null) throw new Error(`the daemon has ended: ${JSON.stringify(this.#lines)}`);
      await new Promise((/** @type {(_: void) => void} */ resolve) => this.#waiting.push(resolve));
    }
  }

  /** Posts a notification. @param {string} body @param {string} [secret] */
  async post(body, secret) {
    secret ??= readFileSync(join(this.folder, 'data/webhook-secret'), 'utf8').trim();
    return (await fetch(this.webhook, { method: 'POST', headers: { 'cf-webhook-auth': secret }, body })).status;
  }

  /**
   * Posts a notification of an event.
   *
   * @param {string} id @param {'connected' | 'disconnected' | 'errored'} kind @param {string} at @param {string} [code]
   */
  async event(id, kind, at, code) {
    const data = { input_id: id, event_type: `live_input.${kind}`, updated_at: at, notification_name: 'Stream Live Input' };
    const error = code ? { live_input_errored: { error: { code, message: code }, video_codec: '', audio_codec: '' } } : {};
    const status = await this.post(JSON.stringify({ name: 'Webhook', text: '', data: { ...data, ...error }, ts: 1 }));
    if (status !== 200) throw new Error(`the notification got ${status}`);
  }

  /** Gets a path of the private listener. @param {string} path */
  async get(path) {
    const headers = this.authorization ? { authorization: this.authorization } : undefined;
    const response = await fetch(new URL(path, this.url), { headers });
    if (!response.ok) throw new Error(`${path} got ${response.status}`);
    return response.text();
  }

  /**
   * The values of a family's samples, by the input's id or by all labels.
   *
   * @param {string} name
   * @returns {Promise<Map<string, number>>}
   */
  async metric(name) {
    const samples = new Map();
    for (const line of (await this.get('metrics')).split('\n')) {
      const found = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line);
      if (found?.[1] !== name) continue;
      const labels = found[2] ?? '';
      samples.set(/input_id="(\w+)"/.exec(labels)?.[1] ?? labels, Number(found[3]));
    }
    return samples;
  }

  /** Lets another program hold the journal until the daemon is stopped. */
  async holdJournal() {
    const hold = 'import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute("BEGIN IMMEDIATE"); print(1, flush=True); sys.stdin.read()';
    this.#holder = spawn('python3', ['-c', hold, join(this.folder, 'data/journal.db')], { stdio: ['pipe', 'pipe', 'inherit'] });
    await new Promise((resolve) => this.#holder?.stdout?.once('data', resolve));
  }

  /** Waits until the daemon is not ready. */
  async unready() {
    while ((await fetch(new URL('-/ready', this.url))).ok) await new Promise((resolve) => setTimeout(resolve, 100));
  }

  /** @param {NodeJS.Signals} signal */
  signal(signal) {
    this.#child.kill(signal);
  }

  async stop() {
    this.#holder?.stdin?.end();
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = new Promise((resolve) => this.#child.on('exit', resolve));
      this.#child.kill('SIGTERM');
      await ended;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** The first of several URLs. @param {string | undefined} urls */
function first(urls) {
  return (urls ?? '').split(', ')[0] ?? '';
}
