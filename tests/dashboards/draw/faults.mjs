// @ts-check
// Faults that only drawing detects, all made in one copy of a dashboard.

/** @typedef {Record<string, any>} Json */

/** @param {Json} dashboard @param {string} type @param {number} at */
function panel(dashboard, type, at) {
  const all = dashboard.panels.flatMap((/** @type {Json} */ each) => [each, ...(each.panels ?? [])]);
  const found = all.filter((/** @type {Json} */ candidate) => candidate.type === type)[at];
  if (!found) throw new Error(`the dashboard has no ${type} panel ${at}`);
  return found;
}

/** @type {Record<string, { make: (dashboard: Json) => void, found: RegExp }>} */
const FAULTS = {
  'an expression is not PromQL': {
    make: (d) => void (panel(d, 'timeseries', 0).targets[0].expr = 'sum by ('),
    found: /parse error/,
  },
  'a metric does not exist': {
    make: (d) =>
      panel(d, 'timeseries', 1).targets.forEach((/** @type {Json} */ target) => (target.expr = 'no_such_metric')),
    found: /^no data$/,
  },
  'a variable does not exist': {
    make: (d) => void (panel(d, 'timeseries', 2).targets[0].expr = 'up{job=~"$jobs"}'),
    found: /there is no variable \$jobs/,
  },
  'two panels have the same id': {
    make: (d) => void (panel(d, 'timeseries', 3).id = panel(d, 'stat', 0).id),
    found: /it has the id of/,
  },
  'two panels are at the same place': {
    make: (d) => void (panel(d, 'stat', 1).gridPos = panel(d, 'stat', 2).gridPos),
    found: /it covers/,
  },
  'a panel is outside of the grid': {
    make: (d) => void (panel(d, 'stat', 3).gridPos.x = 23),
    found: /not within the 24 columns/,
  },
  'an override is for a field that does not exist': {
    make: (d) =>
      panel(d, 'table', 0).fieldConfig.overrides.push({
        matcher: { id: 'byName', options: 'no such field' },
        properties: [],
      }),
    found: /an override matches no field: byName "no such field"/,
  },
  'a title does not fit': {
    make: (d) =>
      void (panel(d, 'stat', 4).title = 'A title that is much too long for a panel of these few columns of the grid'),
    found: /^cut off: A title that is much too long/,
  },
  'a type of panel is not supported': {
    make: (d) => void (panel(d, 'timeseries', 4).type = 'piechart'),
    found: /panels of type piechart are not supported/,
  },
};

/**
 * A copy with all faults.
 *
 * @param {Json} dashboard @returns {Json}
 */
export function withFaults(dashboard) {
  const copy = structuredClone(dashboard);
  Object.values(FAULTS).forEach(({ make }) => make(copy));
  return copy;
}

/**
 * The faults that were not reported.
 *
 * @param {Array<{ what: string }>} problems @returns {string[]}
 */
export function findAll(problems) {
  return Object.entries(FAULTS)
    .filter(([, { found }]) => !problems.some(({ what }) => found.test(what)))
    .map(([fault]) => fault);
}
