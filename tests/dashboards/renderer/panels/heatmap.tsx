// The heatmap panel: a cell for each bucket and step, coloured by its count.
//
// Grafana does not publish this panel, so this follows its rules: buckets are rows of equal height with their bounds
// between them, a cell ends at its sample's time, and the palette is one colour in steps of opacity or a scheme of d3,
// reversed if the theme requires it.
import {
  colorManipulator,
  formattedValueToString,
  getValueFormat,
  type DataFrame,
  type GrafanaTheme2,
} from '@grafana/data';
import type {
  HeatmapColorOptions,
  Options,
} from '@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen';
import { VizLayout } from '@grafana/ui';
import * as schemes from 'd3-scale-chromatic';
import type uPlot from 'uplot';

import { valueFields, type PanelProps } from './panel';
import { Plot } from './plot';

interface Cell {
  /** The end of the step, in milliseconds. */
  time: number;
  row: number;
  count: number;
}

// Minimum height of a row in pixels at which every bound has a label.
const ROW_WITH_TEXT = 12;

export function HeatmapPanel({ options, frames, width, height, range, timeZone, theme }: PanelProps<Options>) {
  const rows = valueFields(frames);
  const step = rows[0]?.interval ?? 0;
  const cells = cellsOf(frames, options.filterValues?.le ?? -Infinity);
  const counts = cells.map(({ count }) => count);
  const low = options.color.min ?? Math.min(...counts);
  const high = options.color.max ?? Math.max(...counts);
  const colors = palette(options.color, theme);
  // If all counts are equal, Grafana uses the lowest colour.
  const colorOf = (count: number) => {
    const at = Math.floor((colors.length * (count - low)) / (high - low || 1));
    return colors[Math.max(0, Math.min(colors.length - 1, at))] ?? '';
  };
  const paint = (plot: uPlot) => {
    const gap = (options.cellGap ?? 1) * window.devicePixelRatio;
    for (const { time, row, count } of cells) {
      const left = plot.valToPos(time - step, 'x', true);
      const top = plot.valToPos(row + 1, 'y', true);
      plot.ctx.fillStyle = colorOf(count);
      plot.ctx.fillRect(
        left,
        top,
        plot.valToPos(time, 'x', true) - left - gap,
        plot.valToPos(row, 'y', true) - top - gap,
      );
    }
  };
  const bounds = rows.map(({ field }, row) => ({ at: row + 1, text: bound(field.labels?.['le'] ?? '', options) }));
  const sparse = Math.ceil(rows.length / Math.max(1, Math.floor((height - 60) / ROW_WITH_TEXT)));
  const y = { min: 0, max: rows.length, grid: true, ticks: bounds.filter((_, row) => (row + 1) % sparse === 0) };
  const legend = options.legend.show && cells.length > 0 && (
    <VizLayout.Legend placement="bottom">
      <ColorScale colors={colors} from={shown(low, options)} to={shown(high, options)} theme={theme} />
    </VizLayout.Legend>
  );
  return (
    <VizLayout width={width} height={height} legend={legend || null}>
      {(plotWidth, plotHeight) => (
        <Plot
          width={plotWidth}
          height={plotHeight}
          range={range}
          timeZone={timeZone}
          theme={theme}
          y={y}
          paint={paint}
        />
      )}
    </VizLayout>
  );
}

/** The visible cells: the panel hides cells with low counts. */
function cellsOf(frames: DataFrame[], hidden: number): Cell[] {
  const all = valueFields(frames).flatMap(({ field, times }, row) =>
    times.map((time, at): Cell => ({ time, row, count: field.values[at] })),
  );
  return all.filter(({ count }) => count > hidden);
}

function bound(le: string, { yAxis }: Options): string {
  const seconds = Number(le);
  return Number.isFinite(seconds) ? formattedValueToString(getValueFormat(yAxis.unit)(seconds, yAxis.decimals)) : le;
}

function shown(count: number, { cellValues }: Options): string {
  return formattedValueToString(getValueFormat(cellValues?.unit)(count, cellValues?.decimals));
}

// Sequential schemes begin with their lightest colour; a dark theme needs it last.
const LIGHT_FIRST =
  /^(Blues|Greens|Greys|Oranges|Purples|Reds|BuGn|BuPu|GnBu|OrRd|PuBuGn|PuBu|PuRd|RdPu|YlGnBu|YlGn|YlOrBr|YlOrRd)$/;
const DARK_FIRST = /^(Turbo|Cividis|Viridis|Magma|Inferno|Plasma|Warm|Cool)$/;

function palette(color: HeatmapColorOptions, theme: GrafanaTheme2): string[] {
  if (color.mode === 'opacity') {
    const fill = theme.visualization.getColorByName(color.fill);
    const exponent = color.scale === 'exponential' ? color.exponent : 1;
    return Array.from({ length: color.steps }, (_, at) =>
      colorManipulator.alpha(fill, (at / (color.steps - 1)) ** exponent),
    );
  }
  const interpolate = (schemes as unknown as Record<string, (part: number) => string>)[`interpolate${color.scheme}`];
  const known = LIGHT_FIRST.test(color.scheme) || DARK_FIRST.test(color.scheme);
  if (color.mode !== 'scheme' || !known || !interpolate)
    throw new Error(`colours of ${color.mode} ${color.scheme} are not supported`);
  const colors = Array.from({ length: color.steps }, (_, at) => interpolate(at / (color.steps - 1)));
  const inverted = theme.isDark ? LIGHT_FIRST.test(color.scheme) : DARK_FIRST.test(color.scheme);
  return color.reverse || inverted ? colors.reverse() : colors;
}

function ColorScale({ colors, from, to, theme }: { colors: string[]; from: string; to: string; theme: GrafanaTheme2 }) {
  const text = { ...theme.typography.bodySmall, color: theme.colors.text.secondary };
  return (
    <div style={{ width: 240, paddingTop: theme.spacing(0.5) }}>
      <div style={{ height: 6, background: `linear-gradient(90deg, ${colors.join(', ')})` }} />
      <div style={{ ...text, display: 'flex', justifyContent: 'space-between' }}>
        <span>{from}</span>
        <span>{to}</span>
      </div>
    </div>
  );
}
