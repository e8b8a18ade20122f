// A panel's queries, and Prometheus' answers as the data frames of Grafana's Prometheus data source.
import { createDataFrame, FieldType, rangeUtil, type DataFrame, type TimeRange } from '@grafana/data';

import type { Panel, Target } from './model';
import { queryInstant, queryRange, type Labels, type Series, type Window } from './prometheus';
import { rangeVariables, type Variables } from './variables';

export interface QueryContext {
  range: TimeRange;
  variables: Variables;
  /** The scrape interval that the data source is configured with. */
  scrapeInterval: string;
  /** Variables of one copy of a repeated panel. */
  own: Labels;
}

/** The frames of all queries of the panel, in their order. `width` is the panel's, in pixels. */
export async function queryPanel(panel: Panel, width: number, context: QueryContext): Promise<DataFrame[]> {
  const targets = (panel.targets ?? []).filter(({ hide }) => !hide);
  const answers = await Promise.all(targets.map((target) => queryTarget(target, panel, width, context)));
  const tables = answers.filter(({ target }) => target.format === 'table').length;
  return answers.flatMap(({ target, series, expr, step }) => {
    if (target.format === 'table') return [tableFrame(target.refId, series, tables > 1)];
    const frames = series.map((each) => seriesFrame(target, each, expr, step));
    return target.format === 'heatmap' ? bucketFrames(frames) : frames;
  });
}

async function queryTarget(target: Target, panel: Panel, width: number, context: QueryContext) {
  const { range, variables, own } = context;
  const lowest = variables.inQuery(target.interval ?? panel.interval ?? context.scrapeInterval);
  const step = rangeUtil.calculateInterval(range, panel.maxDataPoints ?? width, lowest).intervalMs / 1000;
  const expr = variables.inQuery(target.expr, {
    ...own,
    ...rangeVariables(range),
    ...intervals(step, rangeUtil.intervalToSeconds(lowest)),
  });
  const window = windowOf(range, step);
  const series = target.instant ? await queryInstant(expr, range.to.unix()) : await queryRange(expr, window, step);
  return { target, expr, step, series };
}

/** The variables that depend on the step of a query. */
export function intervals(step: number, scrapeInterval: number): Labels {
  return {
    __interval: `${step}s`,
    __interval_ms: `${step * 1000}`,
    __rate_interval: `${Math.max(step + scrapeInterval, 4 * scrapeInterval)}s`,
  };
}

/** Aligns both ends to multiples of the step, so that a moving range queries the same times. */
export function windowOf(range: TimeRange, step: number): Window {
  const align = (time: number) => Math.floor(time / step) * step;
  return { start: align(range.from.unix()), end: align(range.to.unix()) };
}

function seriesFrame(target: Target, { labels, times, values }: Series, expr: string, step: number): DataFrame {
  const name = legend(target.legendFormat, labels, expr);
  return createDataFrame({
    refId: target.refId,
    fields: [
      {
        name: 'Time',
        type: FieldType.time,
        config: { interval: step * 1000 },
        values: times.map((time) => time * 1000),
      },
      { name: 'Value', type: FieldType.number, labels, config: name ? { displayNameFromDS: name } : {}, values },
    ],
  });
}

/** The name of the series; undefined if Grafana derives it from the labels. */
function legend(format: string | undefined, labels: Labels, expr: string): string | undefined {
  if (format === '__auto') return Object.keys(labels).length === 0 ? expr : undefined;
  if (format) return format.replace(/\{\{\s*(.+?)\s*\}\}/g, (_, label: string) => labels[label] ?? '');
  const { __name__: name = '', ...rest } = labels;
  const pairs = Object.entries(rest).map(([label, value]) => `${label}="${value}"`);
  return name || pairs.length > 0 ? `${name}{${pairs.join(', ')}}` : expr;
}

/** One frame with a row for each sample and a column for each label. */
function tableFrame(refId: string, series: Series[], several: boolean): DataFrame {
  const labels = [...new Set(series.flatMap((each) => Object.keys(each.labels).sort()))];
  const rows = series.flatMap((each) =>
    each.times.map((time, at) => ({ time: time * 1000, value: each.values[at], labels: each.labels })),
  );
  return createDataFrame({
    refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: rows.map(({ time }) => time) },
      ...labels.map((label) => ({
        name: label,
        type: FieldType.string,
        config: { filterable: true },
        values: rows.map((row) => row.labels[label] ?? ''),
      })),
      { name: several ? `Value #${refId}` : 'Value', type: FieldType.number, values: rows.map(({ value }) => value) },
    ],
  });
}

/** Converts Prometheus' cumulative buckets into single ones, in the order of their bounds. */
function bucketFrames(frames: DataFrame[]): DataFrame[] {
  const bound = (frame: DataFrame) => {
    const le = frame.fields[1]?.labels?.['le'] ?? '';
    return le === '+Inf' ? Infinity : Number(le);
  };
  const ordered = [...frames].sort((a, b) => bound(a) - bound(b));
  return ordered.map((frame, at) => {
    const below = ordered[at - 1];
    if (!below) return frame;
    const [time, value] = frame.fields;
    const [timeBelow, valueBelow] = below.fields;
    if (!time || !value || !timeBelow || !valueBelow) throw new Error('a bucket has no values');
    const belowAt = new Map<number, number>(timeBelow.values.map((moment, row) => [moment, valueBelow.values[row]]));
    const values = value.values.map((count: number, row) => Math.max(0, count - (belowAt.get(time.values[row]) ?? 0)));
    return { ...frame, fields: [time, { ...value, values }] };
  });
}
