// The properties of every type of panel.
import type { DataFrame, Field, FieldConfigSource, GrafanaTheme2, TimeRange } from '@grafana/data';
import { FieldType } from '@grafana/data';

import type { Region } from '../annotations';

export interface PanelProps<Options> {
  options: Options;
  fieldConfig: FieldConfigSource;
  /** Transformed, with names, units and colours applied. */
  frames: DataFrame[];
  regions: Region[];
  width: number;
  height: number;
  range: TimeRange;
  timeZone: string;
  theme: GrafanaTheme2;
  interpolate: (text: string) => string;
}

/** The value fields of all frames, each with the times of its frame. */
export function valueFields(
  frames: DataFrame[],
): Array<{ field: Field; times: number[]; interval: number; frame: DataFrame }> {
  return frames.flatMap((frame) => {
    const time = frame.fields.find(({ type }) => type === FieldType.time);
    const values = frame.fields.filter((field) => field.type !== FieldType.time && !field.config.custom?.hideFrom?.viz);
    if (!time) return [];
    return values.map((field) => ({
      field,
      times: time.values as number[],
      interval: time.config.interval ?? Infinity,
      frame,
    }));
  });
}
