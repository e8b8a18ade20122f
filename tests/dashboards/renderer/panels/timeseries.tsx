// The time series panel: Grafana's TimeSeries with prepared data.
import { FieldType, type DataFrame } from '@grafana/data';
import type { Options } from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';
import { TimeSeries } from '@grafana/ui';

import { drawRegions } from '../annotations';
import type { PanelProps } from './panel';

export function TimeSeriesPanel({
  options,
  frames,
  regions,
  width,
  height,
  range,
  timeZone,
  theme,
}: PanelProps<Options>) {
  return (
    <TimeSeries
      frames={frames.map(graphable)}
      width={width}
      height={height}
      timeRange={range}
      timeZone={timeZone}
      legend={options.legend}
      options={options}
    >
      {(builder) => {
        drawRegions(builder, regions, theme);
        return null;
      }}
    </TimeSeries>
  );
}

/** A canvas can only draw numbers: other values are gaps. */
function graphable(frame: DataFrame): DataFrame {
  const finite = (value: unknown) => (Number.isFinite(value) ? value : null);
  return {
    ...frame,
    fields: frame.fields.map((field) =>
      field.type === FieldType.number ? { ...field, values: field.values.map(finite) } : field,
    ),
  };
}
