// @ts-check
// Typical faults of a dashboard, each made in a copy. Every run of the type check verifies that it rejects them.

/** @typedef {Record<string, any>} Json */

/** @param {Json} dashboard @returns {Json[]} every panel, those in collapsed rows included */
const panels = (dashboard) => dashboard.panels.flatMap((/** @type {Json} */ panel) => [panel, ...(panel.panels ?? [])]);

/**
 * The first panel in which a fault can be made.
 *
 * @param {Json} dashboard @param {(panel: Json) => unknown} wanted
 */
function panel(dashboard, wanted) {
  const found = panels(dashboard).find((candidate) => wanted(candidate));
  if (!found) throw new NotHere();
  return found;
}

/** @param {Json} dashboard @param {string} type */
const ofType = (dashboard, type) => panel(dashboard, (candidate) => candidate.type === type);

/** @param {Json} dashboard */
const stat = (dashboard) => ofType(dashboard, 'stat');

/** @param {Json} dashboard */
const timeseries = (dashboard) => ofType(dashboard, 'timeseries');

/** @param {Json} dashboard @param {(override: Json) => unknown} wanted */
function override(dashboard, wanted) {
  const has = (/** @type {Json} */ candidate) => candidate.fieldConfig?.overrides.find(wanted);
  return has(panel(dashboard, has));
}

/** @param {Json} dashboard */
const transformation = (dashboard) =>
  panel(dashboard, (candidate) => candidate.transformations?.length).transformations[0];

/** @param {Json} dashboard */
const target = (dashboard) => timeseries(dashboard).targets[0];

/** @param {Json} dashboard @param {string} type */
function variable(dashboard, type) {
  const found = dashboard.templating.list.find((/** @type {Json} */ candidate) => candidate.type === type);
  if (!found) throw new NotHere();
  return found;
}

/** @param {Json} dashboard @param {string} type */
function mapping(dashboard, type) {
  const has = (/** @type {Json} */ candidate) =>
    candidate.fieldConfig?.defaults.mappings?.find((/** @type {Json} */ each) => each.type === type);
  return has(panel(dashboard, has));
}

/** Thrown if a fault cannot be made in a dashboard. */
export class NotHere extends Error {}

/** @type {Record<string, (dashboard: Json) => void>} */
export const FAULTS = {
  'the uid is missing': (d) => void delete d.uid,
  'the uid is a number': (d) => void (d.uid = 7),
  'a setting of the dashboard is misspelt': (d) => void (d.timeZone = 'utc'),
  'the time range has no beginning': (d) => void delete d.time.from,
  'the tooltip mode does not exist': (d) => void (d.graphTooltip = 3),
  'a panel type is misspelt': (d) => void (timeseries(d).type = 'timeserie'),
  'a panel type is not one that the dashboards use': (d) => void (timeseries(d).type = 'graph'),
  'a panel has no description': (d) => void delete timeseries(d).description,
  'a panel has no gridPos': (d) => void delete timeseries(d).gridPos,
  'a gridPos has no width': (d) => void delete stat(d).gridPos.w,
  'a panel has no id': (d) => void delete stat(d).id,
  'a row does not say whether it is collapsed': (d) => void delete ofType(d, 'row').collapsed,
  'an option is misspelt': (d) => void (stat(d).options.colourMode = 'value'),
  'an option has a value that does not exist': (d) => void (stat(d).options.colorMode = 'backgroud'),
  'an option belongs to another type of panel': (d) => void (timeseries(d).options.textMode = 'auto'),
  'a reducer does not exist': (d) => void (stat(d).options.reduceOptions.calcs = ['lastNotNul']),
  'a legend has a placement that does not exist': (d) => void (timeseries(d).options.legend.placement = 'top'),
  'a tooltip mode is misspelt': (d) => void (timeseries(d).options.tooltip.mode = 'all'),
  'the height of lanes is a text': (d) => void (ofType(d, 'state-timeline').options.rowHeight = '0.9'),
  'a table is sorted by no column': (d) => void (ofType(d, 'table').options.sortBy = [{ desc: true }]),
  'a cell type does not exist': (d) =>
    void (ofType(d, 'table').fieldConfig.defaults.custom = { cellOptions: { type: 'traffic-light' } }),
  'a heatmap has no colours': (d) => void delete ofType(d, 'heatmap').options.color,
  'a field setting is misspelt': (d) => void (timeseries(d).fieldConfig.defaults.units = 's'),
  'a unit does not exist': (d) => void (timeseries(d).fieldConfig.defaults.unit = 'seconds'),
  'a number is a text': (d) => void (timeseries(d).fieldConfig.defaults.min = '0'),
  'a drawing setting is misspelt': (d) => void (timeseries(d).fieldConfig.defaults.custom.fillOpacty = 10),
  'a drawing style does not exist': (d) => void (timeseries(d).fieldConfig.defaults.custom.drawStyle = 'area'),
  'a line width is a text': (d) => void (timeseries(d).fieldConfig.defaults.custom.lineWidth = '2'),
  'stacking does not exist': (d) =>
    void (timeseries(d).fieldConfig.defaults.custom.stacking = { mode: 'stacked', group: 'A' }),
  'a colour mode does not exist': (d) => void (stat(d).fieldConfig.defaults.color = { mode: 'threshold' }),
  'a colour is not of the palette': (d) => void (stat(d).fieldConfig.defaults.thresholds.steps[0].color = 'gren'),
  'a threshold is a text': (d) => void (stat(d).fieldConfig.defaults.thresholds.steps[0].value = '1'),
  'thresholds have a mode that does not exist': (d) => void (stat(d).fieldConfig.defaults.thresholds.mode = 'relative'),
  'a mapping has a type that does not exist': (d) => void (mapping(d, 'value').type = 'values'),
  'a mapping is of another type than its options': (d) => void (mapping(d, 'value').type = 'range'),
  'a mapping has a colour that is not of the palette': (d) =>
    void (mapping(d, 'value').options['1'] = { text: 'live', color: 'lime' }),
  'an override has a matcher that does not exist': (d) =>
    void (override(d, () => true).matcher.id = 'byname'),
  'an override sets a property that does not exist': (d) => void (override(d, () => true).properties[0].id = 'custom.widht'),
  'an override sets a property to a value of another type': (d) =>
    void (override(d, () => true).properties[0] = { id: 'unit', value: 5 }),
  'a transformation does not exist': (d) => void (transformation(d).id = 'organise'),
  'a transformation has an option that does not exist': (d) => void (transformation(d).options = { renamedByName: {} }),
  'a query has no expression': (d) => void delete target(d).expr,
  'a query setting is misspelt': (d) => void (target(d).legend = '{{name}}'),
  'a query is neither instant nor range': (d) => void delete target(d).range,
  'a query is instant and range': (d) => void (target(d).instant = target(d).range = true),
  'a query has a fixed data source': (d) => void (target(d).datasource.uid = 'prometheus-1'),
  'a query has a format that does not exist': (d) => void (target(d).format = 'timeseries'),
  'a variable is of a type that does not exist': (d) => void (variable(d, 'query').type = 'queries'),
  'a variable has a refresh mode that does not exist': (d) => void (variable(d, 'query').refresh = 3),
  'a variable selects another type of data source': (d) => void (variable(d, 'datasource').query = 'loki'),
  'an annotation has no colour': (d) => void delete d.annotations.list[0].iconColor,
  'a link of the dashboard has a type that does not exist': (d) => {
    if (!d.links?.length) throw new NotHere();
    d.links[0].type = 'dashboard';
  },
};

/**
 * Faults that types do not detect, because they do not look into texts. Drawing the dashboards detects them
 * (draw/faults.mjs). The type check verifies that it does not detect them, so that this list stays correct.
 *
 * @type {Record<string, (dashboard: Json) => void>}
 */
export const UNSEEN = {
  'an expression is not PromQL': (d) => void (target(d).expr = 'sum by ('),
  'an expression asks for a metric that does not exist': (d) => void (target(d).expr = 'no_such_metric'),
  'an expression uses a variable that does not exist': (d) => void (target(d).expr = 'up{job=~"$jobs"}'),
  'two panels have the same id': (d) => void (timeseries(d).id = stat(d).id),
  'two panels are at the same place': (d) => void (timeseries(d).gridPos = stat(d).gridPos),
  'an override is for a field that does not exist': (d) =>
    void timeseries(d).fieldConfig.overrides.push({
      matcher: { id: 'byName', options: 'no such field' },
      properties: [],
    }),
};
