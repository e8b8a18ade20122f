// @ts-check
// Situations in which a person opens the page: how the daemon is started, and what has happened.
import { ago, inputId } from './daemon.mjs';

/** @typedef {import('./daemon.mjs').Daemon} Daemon */
/** @typedef {{ start: NonNullable<Parameters<typeof Daemon.start>[0]>, happen: (daemon: Daemon) => Promise<void> }} Scene */

const HOUR = 3600;
export const [MAIN, CHAPEL, STUDIO, FIELD, LOBBY] = [1, 2, 3, 4, 5].map((number) => inputId(number));

/** @param {string} id @param {string} name @param {string} expected */
const input = (id, name, expected = '"always"') => `[[inputs]]\nid = "${id}"\nname = "${name}"\nexpected = ${expected}\n`;

/** A window around now. @param {number} from seconds before now @param {number} to seconds after it */
const window = (from, to) => `[{ from = "${ago(from)}", until = "${ago(-to)}" }]`;

const INPUTS = [
  input(MAIN, 'Main stage'),
  input(CHAPEL, 'Chapel', window(2 * HOUR, 3 * HOUR)),
  input(STUDIO, 'Studio B', window(-5 * HOUR, 8 * HOUR)),
  input(FIELD, 'Field camera <4>', window(-24 * HOUR, 26 * HOUR)),
  input(LOBBY, 'Lobby', '"never"'),
].join('\n');

/**
 * A day of every configured input. The daemon gets it within seconds, as after a long downtime.
 *
 * @param {Daemon} daemon
 */
async function day(daemon) {
  await daemon.event(MAIN, 'connected', ago(23 * HOUR));
  await daemon.event(MAIN, 'errored', ago(15 * HOUR + 20), 'ERR_GOP_OUT_OF_RANGE');
  await daemon.event(MAIN, 'disconnected', ago(15 * HOUR));
  await daemon.event(MAIN, 'connected', ago(15 * HOUR - 40));
  await daemon.event(MAIN, 'disconnected', ago(9 * HOUR));
  await daemon.event(MAIN, 'connected', ago(7.5 * HOUR));
  await daemon.event(CHAPEL, 'connected', ago(2 * HOUR - 30));
  await daemon.event(STUDIO, 'connected', ago(20 * HOUR));
  await daemon.event(STUDIO, 'disconnected', ago(17 * HOUR));
  await daemon.event(FIELD, 'errored', ago(12 * HOUR), 'ERR_UNSUPPORTED_VIDEO_CODEC');
  await daemon.event(LOBBY, 'connected', ago(6 * HOUR));
}

/** @type {Record<string, Scene>} */
export const SCENES = {
  empty: { start: {}, happen: async () => {} },
  'all-well': { start: { configuration: INPUTS }, happen: day },
  'off-air': {
    start: { configuration: INPUTS },
    async happen(daemon) {
      await day(daemon);
      await daemon.event(MAIN, 'errored', ago(760), 'ERR_UNHEALTHY');
      await daemon.event(MAIN, 'disconnected', ago(754));
      await daemon.event(CHAPEL, 'disconnected', ago(95));
      // A rejected delivery, and one that was not understood.
      await daemon.post('{}', 'wrong');
      await daemon.post(JSON.stringify({ name: 'x', text: '<script>alert(1)</script>', data: { event_type: 'live_input.<b>' } }));
    },
  },
  'not-ready': {
    start: { configuration: INPUTS },
    async happen(daemon) {
      await day(daemon);
      // Another program holds the database, so a notification waits for it.
      await daemon.holdJournal();
      daemon.event(MAIN, 'disconnected', ago(5)).catch(() => undefined);
      await daemon.unready();
    },
  },
  many: {
    start: {
      configuration: Array.from({ length: 10_000 }, (_, number) => input(inputId(number + 1), `Camera ${number + 1}`)).join('\n'),
    },
    async happen(daemon) {
      for (let number = 0; number < 9970; number += 50) {
        const ids = Array.from({ length: 50 }, (_, index) => inputId(number + index + 1));
        await Promise.all(ids.map((id) => daemon.event(id, 'connected', ago(4 * HOUR + number))));
      }
      for (let number = 1; number < 40; number++) await daemon.event(inputId(number * 7), 'disconnected', ago(60 * number));
    },
  },
};
