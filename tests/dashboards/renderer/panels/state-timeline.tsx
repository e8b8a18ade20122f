// The state timeline panel: a lane for each series, in the colours of its states.
//
// Grafana does not publish this panel. Names, texts, colours, axes and legend come from Grafana; the start and end of a
// state are computed here, by Grafana's rules.
import {
  FieldColorModeId,
  getFieldDisplayName,
  type DisplayValue,
  type Field,
  type GrafanaTheme2,
} from '@grafana/data';
import type { VisibilityMode } from '@grafana/schema';
import type {
  FieldConfig,
  Options,
} from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import { VizLayout, VizLegend, type VizLegendItem } from '@grafana/ui';
import type uPlot from 'uplot';

import { valueFields, type PanelProps } from './panel';
import { Plot } from './plot';

/** A time, in milliseconds, in which a series has one state. */
interface State {
  from: number;
  to: number;
  shown: DisplayValue;
}

interface Lane {
  name: string;
  field: Field;
  states: State[];
}

const FONT_SIZE = 12;
const TEXT_PADDING = 4;

export function StateTimelinePanel({ options, frames, width, height, range, timeZone, theme }: PanelProps<Options>) {
  const lanes = valueFields(frames).map(({ field, frame, times, interval }): Lane => {
    const states = statesOf(field, times, interval, options.mergeValues !== false);
    return { name: getFieldDisplayName(field, frame, frames), field, states };
  });
  // The first lane is at the top.
  const middle = (at: number) => lanes.length - at - 0.5;
  const y = {
    min: 0,
    max: lanes.length,
    grid: false,
    ticks: lanes.map(({ name }, at) => ({ at: middle(at), text: name })).reverse(),
  };
  const paint = (plot: uPlot) => lanes.forEach((lane, at) => paintLane(plot, lane, middle(at), options, theme));
  const items = options.legend.showLegend ? legendItems(lanes, theme) : [];
  const legend = items.length > 0 && (
    <VizLayout.Legend placement={options.legend.placement}>
      <VizLegend placement={options.legend.placement} items={items} displayMode={options.legend.displayMode} readonly />
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

/** A sample holds until the next one, but at most for a step. */
function statesOf(field: Field, times: number[], interval: number, merge: boolean): State[] {
  const states: State[] = [];
  let before: unknown;
  times.forEach((time, at) => {
    const value: unknown = field.values[at];
    const to = Math.min(times[at + 1] ?? Infinity, time + interval);
    const last = states.at(-1);
    if (value === null || value === undefined || Number.isNaN(value)) return;
    if (merge && last && last.to === time && before === value) last.to = to;
    else states.push({ from: time, to, shown: display(field, value) });
    before = value;
  });
  return states;
}

function display(field: Field, value: unknown): DisplayValue {
  if (!field.display) throw new Error(`the field ${field.name} has no display processor`);
  return field.display(value);
}

function paintLane(plot: uPlot, { field, states }: Lane, middle: number, options: Options, theme: GrafanaTheme2) {
  const { ctx } = plot;
  const custom: FieldConfig = field.config.custom ?? {};
  const top = plot.valToPos(middle + options.rowHeight / 2, 'y', true);
  const height = plot.valToPos(middle - options.rowHeight / 2, 'y', true) - top;
  for (const { from, to, shown } of states) {
    const left = plot.valToPos(from, 'x', true);
    const width = plot.valToPos(to, 'x', true) - left;
    ctx.fillStyle = theme.visualization.getColorByName(shown.color ?? 'text');
    ctx.globalAlpha = (custom.fillOpacity ?? 70) / 100;
    ctx.fillRect(left, top, Math.max(1, width), height);
    ctx.globalAlpha = 1;
    ctx.lineWidth = custom.lineWidth ?? 0;
    ctx.strokeStyle = ctx.fillStyle;
    if (ctx.lineWidth > 0 && custom.lineWidth) ctx.strokeRect(left, top, width, height);
    paintText(plot, shown, { left, width, middle: top + height / 2 }, options, theme);
  }
}

interface Place {
  left: number;
  width: number;
  middle: number;
}

function paintText({ ctx }: uPlot, shown: DisplayValue, place: Place, options: Options, theme: GrafanaTheme2) {
  const show: `${VisibilityMode}` = options.showValue;
  if (show === 'never') return;
  const text = `${shown.prefix ?? ''}${shown.text}${shown.suffix ?? ''}`;
  const scale = window.devicePixelRatio;
  ctx.font = `${FONT_SIZE * scale}px ${theme.typography.fontFamily}`;
  const padding = TEXT_PADDING * scale;
  const free = place.width - 2 * padding - ctx.measureText(text).width;
  if (show === 'auto' && free < 0) return;
  const shift = { left: 0, center: free / 2, right: free }[options.alignValue ?? 'left'];
  ctx.fillStyle = theme.colors.getContrastText(theme.visualization.getColorByName(shown.color ?? 'text'), 3);
  ctx.textBaseline = 'middle';
  ctx.textAlign = 'left';
  ctx.fillText(text, place.left + padding + shift, place.middle);
}

/** The threshold steps if they define the colours, otherwise every visible state. */
function legendItems(lanes: Lane[], theme: GrafanaTheme2): VizLegendItem[] {
  const first = lanes[0]?.field;
  const steps = first?.config.thresholds?.steps ?? [];
  if (first && first.config.color?.mode === FieldColorModeId.Thresholds && steps.length > 1) {
    const bound = (at: number) => display(first, steps[at]?.value).text;
    return steps.map(({ color }, at) => ({
      label: at === 0 ? `< ${bound(1)}` : `${bound(at)}+`,
      color: theme.visualization.getColorByName(color),
      yAxis: 1,
    }));
  }
  const states = lanes.flatMap((lane) => lane.states).filter(({ shown }) => shown.text && shown.color);
  const colors = new Map(states.map(({ shown }) => [shown.text, shown.color]));
  return [...colors].map(([label, color]) => ({ label, color, yAxis: 1 }));
}
