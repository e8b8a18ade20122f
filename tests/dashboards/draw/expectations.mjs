// @ts-check
// What the history's story makes of the dashboards.

/**
 * Variables that a dashboard is drawn with, where what it would choose by itself has no story.
 *
 * @type {Record<string, Record<string, string>>}
 */
export const VARIABLES = {
  // Auditorium: expected, off air at the end, refused in between.
  'stream-live-exporter': { 'Inputs forgotten': 'no input is ever silent for so long' },
  'stream-live-input': { 'var-input': '6fa27e15d80b43c9a7f4091c3d5e82b6' },
};

/**
 * Panels that have nothing to show in the story, with the reason. Every other one must have data.
 *
 * @type {Record<string, Record<string, string>>}
 */
export const EMPTY = {
  // What is missing is what it shows then: that there is none.
  'stream-live-exporter': { 'Inputs forgotten': 'no input is ever silent for so long' },
  'stream-live-input': { 'Lost notifications': 'all of the notifications of this input arrived' },
};
