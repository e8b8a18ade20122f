// A dashboard as the renderer reads it. The type check has verified the JSON; here its texts and numbers have the types
// of Grafana's enumerations.
import type { DataTransformerConfig, FieldConfigSource, GridPos, VariableModel } from '@grafana/schema';

export interface Target {
  refId: string;
  expr: string;
  legendFormat?: string;
  interval?: string;
  instant?: boolean;
  format?: 'table' | 'time_series' | 'heatmap';
  hide?: boolean;
}

export interface Panel {
  id: number;
  type: string;
  title: string;
  description?: string;
  gridPos: GridPos;
  interval?: string;
  maxDataPoints?: number;
  transparent?: boolean;
  targets?: Target[];
  transformations?: DataTransformerConfig[];
  fieldConfig?: FieldConfigSource;
  /** Depends on the type: see the module of the panel. */
  options?: unknown;
  /** Only in rows. */
  collapsed?: boolean;
  panels?: Panel[];
}

export interface Annotation {
  name: string;
  enable: boolean;
  hide?: boolean;
  iconColor: string;
  expr?: string;
  step?: string;
  useValueForTime?: boolean | string;
  builtIn?: number;
}

export interface Link {
  title: string;
  icon: string;
}

export interface Dashboard {
  uid: string;
  title: string;
  time: { from: string; to: string };
  timezone?: string;
  refresh?: string;
  links?: Link[];
  panels: Panel[];
  templating: { list: VariableModel[] };
  annotations: { list: Annotation[] };
}
