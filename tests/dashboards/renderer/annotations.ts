// Annotations: the results of a dashboard's annotation queries, and how graphs show them.
import { rangeUtil, type GrafanaTheme2, type TimeRange } from '@grafana/data';
import type { UPlotConfigBuilder } from '@grafana/ui';

import type { Annotation } from './model';
import { queryRange } from './prometheus';
import { intervals, windowOf } from './query';
import { rangeVariables, type Variables } from './variables';

/** A time in which the annotation's query had a non-zero sample, or the time that is its value; in milliseconds. */
export interface Region {
  from: number;
  to: number;
  color: string;
}

export async function queryAnnotation(
  annotation: Annotation,
  range: TimeRange,
  variables: Variables,
): Promise<Region[]> {
  if (!annotation.enable || annotation.builtIn || !annotation.expr) return [];
  const step = rangeUtil.intervalToSeconds(annotation.step || '60s');
  const expr = variables.inQuery(annotation.expr, { ...rangeVariables(range), ...intervals(step, step) });
  const series = await queryRange(expr, windowOf(range, step), step);
  return series.flatMap(({ times, values }) => {
    const samples = times
      .map((time, at) => ({ time: time * 1000, value: values[at] ?? 0 }))
      .filter(({ value }) => value);
    const moments = annotation.useValueForTime
      ? [...new Set(samples.map(({ value }) => value))]
      : samples.map(({ time }) => time);
    return regionsOf(
      moments.sort((a, b) => a - b),
      step,
      annotation.iconColor,
    );
  });
}

/** Joins moments that are at most a step apart into one region. */
function regionsOf(moments: number[], step: number, color: string): Region[] {
  const regions: Region[] = [];
  for (const time of moments) {
    const last = regions.at(-1);
    if (last && time - last.to <= step * 1000) last.to = time;
    else regions.push({ from: time, to: time, color });
  }
  return regions;
}

/** Draws the regions as Grafana does: dashed lines at both ends, a tint between them, a mark below the axis. */
export function drawRegions(builder: UPlotConfigBuilder, regions: Region[], theme: GrafanaTheme2) {
  builder.addHook('draw', (plot) => {
    const { ctx, bbox } = plot;
    const right = bbox.left + bbox.width;
    const position = (time: number) => Math.min(right, Math.max(bbox.left, plot.valToPos(time, 'x', true)));
    ctx.save();
    const { min = 0, max = 0 } = plot.scales['x'] ?? {};
    for (const region of regions.filter(({ from, to }) => to >= min && from <= max)) {
      const color = theme.visualization.getColorByName(region.color);
      const [start, end] = [position(region.from), position(region.to)];
      ctx.globalAlpha = 0.1;
      ctx.fillStyle = ctx.strokeStyle = color;
      ctx.fillRect(start, bbox.top, end - start, bbox.height);
      ctx.globalAlpha = 1;
      ctx.setLineDash([5, 5]);
      for (const x of start === end ? [start] : [start, end]) {
        ctx.beginPath();
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.stroke();
      }
      ctx.fillRect(start - 2, bbox.top + bbox.height, Math.max(4, end - start + 4), 4);
    }
    ctx.restore();
  });
}
