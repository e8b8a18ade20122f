// The type of a dashboard's JSON: Grafana's generated types, made strict where they leave a field open.
//
// The generated types describe TypeScript objects, with enumerations that JSON writes as text or numbers, and they do not
// include the options of panels. Here a panel's `type` determines its options, and every id must exist in Grafana's
// registries.
import type { DataTransformerID, FieldMatcherID, ReducerID } from '@grafana/data';
import type { ReduceDataOptions } from '@grafana/schema';
import type * as heatmap from '@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as stateTimeline from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type * as table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as text from '@grafana/schema/dist/esm/raw/composable/text/panelcfg/x/TextPanelCfg_types.gen';
import type * as timeseries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';
import type * as raw from '@grafana/schema/dist/esm/raw/dashboard/x/Dashboard_types.gen';

import type { Unit } from '../build/types/units';

/** The type as JSON: members of enumerations become their text or number. */
type Json<T> = T extends string
  ? `${T}`
  : T extends number
    ? `${T}` extends `${infer N extends number}`
      ? N
      : never
    : T extends boolean | null | undefined
      ? T
      : T extends Array<infer Item>
        ? Array<Json<Item>>
        : T extends object
          ? { [Key in keyof T]: Json<T[Key]> }
          : T;

/** `T` with the fields of `Instead` replacing its own. */
type With<T, Instead> = Omit<T, keyof Instead> & Instead;

type Shade = '' | 'dark-' | 'semi-dark-' | 'light-' | 'super-light-';
type Hue = 'red' | 'orange' | 'yellow' | 'green' | 'blue' | 'purple';
/** A colour of Grafana's palette, which suits every theme, or a custom one. */
type Color = `${Shade}${Hue}` | 'text' | 'transparent' | `#${string}`;

/** The Prometheus selected by the dashboard's variable. A fixed data source is an error. */
type Prometheus = { type: 'prometheus'; uid: '${datasource}' };
/** The same for a dashboard of grafana/postgresql. */
type PostgreSQL = { type: 'grafana-postgresql-datasource'; uid: '${datasource}' };

type SqlTarget = {
  refId: string;
  datasource: PostgreSQL;
  rawSql: string;
  rawQuery: true;
  editorMode: 'code';
  format: 'time_series' | 'table';
};

type Target = {
  refId: string;
  datasource: Prometheus;
  expr: string;
  editorMode: 'code';
  legendFormat?: string;
  interval?: string;
  hide?: boolean;
} & (
  | { range: true; instant?: false; format?: 'time_series' | 'heatmap' | 'table' }
  | { instant: true; range?: false; format?: 'time_series' | 'table' }
);

type Link = { title: string; url: string; targetBlank?: boolean };
type MappingResult = With<raw.ValueMappingResult, { color?: Color; text?: string }>;
type Mapping =
  | With<raw.ValueMap, { options: Record<string, MappingResult> }>
  | With<raw.RangeMap, { options: { from: number | null; to: number | null; result: MappingResult } }>
  | With<raw.SpecialValueMap, { options: { match: raw.SpecialValueMatch; result: MappingResult } }>
  | With<raw.RegexMap, { options: { pattern: string; result: MappingResult } }>;

type FieldConfig = With<
  Omit<raw.FieldConfig, 'custom' | 'displayNameFromDS' | 'path' | 'writeable'>,
  {
    unit?: Unit;
    color?: With<raw.FieldColor, { fixedColor?: Color }>;
    thresholds?: With<raw.ThresholdsConfig, { steps: Array<{ color: Color; value: number | null }> }>;
    mappings?: Mapping[];
    links?: Link[];
  }
>;

/** The custom properties of an override. Tables only have a part of `hideFrom`. */
type Own<Custom> = Exclude<keyof Custom & string, 'hideFrom'>;

/** One override: the type of the value depends on the property. */
type Property<Custom> =
  | { [Key in keyof FieldConfig]-?: { id: Key; value: Exclude<FieldConfig[Key], undefined> } }[keyof FieldConfig]
  | { [Key in Own<Custom>]-?: { id: `custom.${Key}`; value: Exclude<Custom[Key], undefined> } }[Own<Custom>]
  | { id: 'custom.hideFrom.viz'; value: boolean };

type Matcher =
  | {
      id: FieldMatcherID.byName | FieldMatcherID.byRegexp | FieldMatcherID.byType | FieldMatcherID.byFrameRefID;
      options: string;
    }
  | { id: FieldMatcherID.byNames; options: { mode?: 'include' | 'exclude'; names: string[]; readOnly?: boolean } }
  | { id: FieldMatcherID.numeric };

type FieldConfigSource<Custom> = {
  defaults: FieldConfig & { custom?: Partial<Custom> };
  overrides: Array<{ matcher: Matcher; properties: Array<Property<Custom>> }>;
};

type Operand = { matcher: { id: FieldMatcherID.byName; options: string } };

type Transformation =
  | {
      id: DataTransformerID.organize;
      options: {
        excludeByName?: Record<string, boolean>;
        includeByName?: Record<string, boolean>;
        indexByName?: Record<string, number>;
        renameByName?: Record<string, string>;
      };
    }
  | {
      id: DataTransformerID.partitionByValues;
      options: { fields: string[]; keepFields: boolean; naming: { asLabels: boolean } };
    }
  | { id: DataTransformerID.merge; options: Record<string, never> }
  | { id: DataTransformerID.joinByField; options: { byField: string; mode: 'inner' | 'outer' | 'outerTabular' } }
  | { id: DataTransformerID.formatString; options: { stringField: string; outputFormat: 'Lower Case' } }
  | {
      id: DataTransformerID.groupBy;
      options: {
        fields: Record<string, { operation: 'groupby' | 'aggregate'; aggregations: ReducerID[] }>;
      };
    }
  | {
      id: DataTransformerID.calculateField;
      options: {
        mode: 'binary';
        alias: string;
        binary: { left: Operand; operator: '+' | '-' | '*' | '/'; right: Operand };
        replaceFields: boolean;
      };
    }
  | { id: DataTransformerID.sortBy; options: { sort: Array<{ field: string; desc?: boolean }> } }
  | {
      id: DataTransformerID.filterFieldsByName;
      options: { include?: { names?: string[]; pattern?: string }; exclude?: { names?: string[]; pattern?: string } };
    };

type Panel<Type extends string, Options, Custom = Record<never, never>> = With<
  Omit<raw.Panel, 'libraryPanel' | 'autoMigrateFrom'>,
  {
    id: number;
    type: Type;
    title: string;
    description: string;
    gridPos: raw.GridPos;
    options: Options;
    fieldConfig: FieldConfigSource<Custom>;
    links?: Link[];
    transformations?: Transformation[];
  } & ({ datasource: Prometheus; targets: Target[] } | { datasource: PostgreSQL; targets: SqlTarget[] })
>;

type StatOptions = With<Partial<stat.Options>, { reduceOptions: With<ReduceDataOptions, { calcs: ReducerID[] }> }>;
type TextPanel = With<
  Omit<raw.Panel, 'targets' | 'fieldConfig' | 'transformations' | 'datasource'>,
  { id: number; type: 'text'; gridPos: raw.GridPos; options: text.Options }
>;

type DataPanel =
  | Panel<'timeseries', timeseries.Options, timeseries.FieldConfig>
  | Panel<'stat', StatOptions>
  | Panel<'state-timeline', stateTimeline.Options, stateTimeline.FieldConfig>
  | Panel<'table', Partial<table.Options>, table.FieldConfig>
  | Panel<'heatmap', heatmap.Options, heatmap.FieldConfig>;

type Row = With<raw.RowPanel, { title: string; gridPos: raw.GridPos; panels: Array<DataPanel | TextPanel> }>;

type VariableSettings = Omit<raw.VariableModel, 'type' | 'query' | 'datasource' | 'current'> & {
  current?: raw.VariableOption | Record<string, never>;
};
type Variable =
  | (VariableSettings & { type: 'datasource'; query: 'prometheus' | 'alertmanager' | PostgreSQL['type'] })
  | (VariableSettings & { type: 'query'; datasource: PostgreSQL; definition: string; query: string })
  | (VariableSettings & {
      type: 'query';
      datasource: Prometheus;
      definition: string;
      query: { query: string; refId: string; qryType?: number };
    })
  | (VariableSettings & { type: 'custom' | 'interval' | 'constant' | 'textbox'; query: string });

type Annotation = With<
  raw.AnnotationQuery,
  {
    datasource: Prometheus | PostgreSQL | { type: 'grafana'; uid: '-- Grafana --' };
    target?: SqlTarget;
    iconColor: Color | `rgba(${string})`;
    expr?: string;
    step?: string;
    titleFormat?: string;
    textFormat?: string;
    tagKeys?: string;
    useValueForTime?: boolean | string;
  }
>;

export type Dashboard = Json<
  With<
    Omit<raw.Dashboard, 'snapshot' | 'gnetId' | 'revision' | 'liveNow'>,
    {
      uid: string;
      title: string;
      description: string;
      tags: string[];
      schemaVersion: number;
      time: { from: string; to: string };
      panels: Array<DataPanel | TextPanel | Row>;
      templating: { list: Variable[] };
      annotations: { list: Annotation[] };
    }
  >
>;
