// @ts-check
// How the dashboards are drawn with the generated history, and what they show then.

/**
 * Values of variables for dashboards whose default selection shows too little.
 *
 * @type {Record<string, Record<string, string>>}
 */
export const VARIABLES = {
  // Auditorium: expected, off air at the end, refused in between.
  'stream-live-input': { 'var-input': '6fa27e15d80b43c9a7f4091c3d5e82b6' },
};

const NOT_SHARED = 'the replicas of the history have their own journals';

/**
 * Panels without data in the history, by id, with the reason. All others must have data.
 *
 * @type {Record<string, Record<number, string>>}
 */
export const EMPTY = {
  'stream-live-exporter': {
    30: 'no input is silent long enough to be forgotten',
    39: 'no line of the log is dropped',
    41: 'no scrape meets a write to the journal',
    51: NOT_SHARED,
    52: NOT_SHARED,
    53: NOT_SHARED,
    54: NOT_SHARED,
    55: NOT_SHARED,
    56: NOT_SHARED,
    57: NOT_SHARED,
  },
  'stream-live-input': {
    24: 'all notifications of this input arrived',
    30: 'this input has no schedule',
  },
};
