// A plot over time for panels that Grafana does not publish: Grafana's axes and scales, and a canvas.
import { AxisPlacement, ScaleDirection, ScaleOrientation } from '@grafana/schema';
import { UPlotChart, UPlotConfigBuilder } from '@grafana/ui';
import type { GrafanaTheme2, TimeRange } from '@grafana/data';
import type uPlot from 'uplot';

export interface PlotAxis {
  min: number;
  max: number;
  /** Position and text of each label. */
  ticks: Array<{ at: number; text: string }>;
  grid: boolean;
}

interface Props {
  width: number;
  height: number;
  range: TimeRange;
  timeZone: string;
  theme: GrafanaTheme2;
  y: PlotAxis;
  paint: (plot: uPlot) => void;
}

export function Plot({ width, height, range, timeZone, theme, y, paint }: Props) {
  const [from, to] = [range.from.valueOf(), range.to.valueOf()];
  const builder = new UPlotConfigBuilder(timeZone);
  builder.addScale({
    scaleKey: 'x',
    isTime: true,
    orientation: ScaleOrientation.Horizontal,
    direction: ScaleDirection.Right,
    range: () => [from, to],
  });
  builder.addScale({
    scaleKey: 'y',
    orientation: ScaleOrientation.Vertical,
    direction: ScaleDirection.Up,
    range: () => [y.min, y.max],
  });
  builder.addAxis({
    scaleKey: 'x',
    isTime: true,
    placement: AxisPlacement.Bottom,
    timeZone,
    theme,
    grid: { show: true },
  });
  builder.addAxis({
    scaleKey: 'y',
    placement: AxisPlacement.Left,
    theme,
    grid: { show: y.grid },
    ticks: { show: false },
    gap: 8,
    splits: y.ticks.map(({ at }) => at),
    values: y.ticks.map(({ text }) => text),
  });
  builder.addSeries({ scaleKey: 'y', theme, pathBuilder: () => null, pointsBuilder: () => false });
  builder.addHook('draw', (plot) => {
    plot.ctx.save();
    plot.ctx.beginPath();
    plot.ctx.rect(plot.bbox.left, plot.bbox.top, plot.bbox.width, plot.bbox.height);
    plot.ctx.clip();
    paint(plot);
    plot.ctx.restore();
  });
  const nothing = [
    [from, to],
    [null, null],
  ] as [number[], null[]];
  return <UPlotChart data={nothing} width={width} height={height} config={builder} />;
}
