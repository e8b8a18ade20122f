// A dashboard as the renderer reads it. The type check has seen that the JSON is one; here its texts and numbers are
// taken for the members of Grafana's enumerations that they stand for.
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
  /** What these are depends on the type; each panel's own module says it. */
  options?: unknown;
  /** Of rows. */
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
