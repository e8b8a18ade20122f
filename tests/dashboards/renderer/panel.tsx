// One panel: its data as Grafana prepares it, in its frame.
import {
  applyFieldOverrides,
  cacheFieldDisplayNames,
  transformDataFrame,
  type DataFrame,
  type FieldConfigSource,
  type GrafanaTheme2,
  type TimeRange,
} from '@grafana/data';
import { PanelChrome } from '@grafana/ui';
import { Component, type ComponentType, type ReactNode } from 'react';
import { firstValueFrom } from 'rxjs';

import type { Region } from './annotations';
import { inspect } from './inspect';
import type { Panel } from './model';
import { HeatmapPanel } from './panels/heatmap';
import type { PanelProps } from './panels/panel';
import { StatPanel } from './panels/stat';
import { StateTimelinePanel } from './panels/state-timeline';
import { TablePanel } from './panels/table';
import { TextPanel } from './panels/text';
import { TimeSeriesPanel } from './panels/timeseries';
import { message, report } from './problems';
import { queryPanel, type QueryContext } from './query';
import { fieldSettings } from './registry';

/** The type check has verified that the options in the JSON are those of the panel's type. */
const TYPES: Record<string, ComponentType<PanelProps<any>>> = {
  heatmap: HeatmapPanel,
  stat: StatPanel,
  'state-timeline': StateTimelinePanel,
  table: TablePanel,
  text: TextPanel,
  timeseries: TimeSeriesPanel,
};

export interface View {
  theme: GrafanaTheme2;
  timeZone: string;
  range: TimeRange;
  regions: Region[];
}

/** A panel with its data. */
export interface Prepared {
  panel: Panel;
  title: string;
  frames: DataFrame[];
  fieldConfig: FieldConfigSource;
  empty: boolean;
  interpolate: (text: string) => string;
}

/** Queries and prepares the panel's data. Errors are reported and the panel stays empty. */
export async function prepare(panel: Panel, width: number, context: QueryContext, view: View): Promise<Prepared> {
  const fieldConfig = (panel.fieldConfig ?? { defaults: {}, overrides: [] }) as FieldConfigSource;
  // Links are not part of a picture: do not interpolate them.
  const interpolate = (text: string) =>
    /\$\{?__|\/d\//.test(text) ? text : context.variables.inText(text, context.own);
  const prepared = { panel, title: panel.title, frames: [] as DataFrame[], fieldConfig, empty: true, interpolate };
  try {
    prepared.title = interpolate(panel.title);
    if (!TYPES[panel.type]) throw new Error(`panels of type ${panel.type} are not supported`);
    if (panel.type === 'text') return { ...prepared, empty: false };
    const answered = await queryPanel(panel, width, context);
    const transformed = await firstValueFrom(
      transformDataFrame(panel.transformations ?? [], answered, { interpolate }),
    );
    prepared.frames = applyFieldOverrides({
      data: transformed,
      fieldConfig,
      fieldConfigRegistry: fieldSettings(fieldConfig),
      replaceVariables: interpolate,
      theme: view.theme,
      timeZone: view.timeZone,
    });
    // Tables only read the cached names.
    cacheFieldDisplayNames(prepared.frames);
    const found = inspect(prepared.frames, fieldConfig, panel);
    prepared.empty = found.empty;
    if (found.empty) report(prepared.title, 'no data', panel.id);
    else found.problems.forEach((problem) => report(prepared.title, problem));
  } catch (error) {
    report(prepared.title || panel.title, message(error));
  }
  return prepared;
}

export function PanelFrame({
  prepared,
  width,
  height,
  view,
}: {
  prepared: Prepared;
  width: number;
  height: number;
  view: View;
}) {
  const { panel, title, frames, fieldConfig, empty, interpolate } = prepared;
  const Type = TYPES[panel.type];
  return (
    <section data-panel={title}>
      <PanelChrome
        title={title}
        description={panel.description}
        width={width}
        height={height}
        displayMode={panel.transparent ? 'transparent' : 'default'}
      >
        {(innerWidth, innerHeight) =>
          // A stat panel draws "no value" itself.
          !Type || (empty && panel.type !== 'stat') ? (
            <NoData text={fieldConfig.defaults.noValue} theme={view.theme} />
          ) : (
            <Guard title={title}>
              <Type
                {...view}
                options={panel.options}
                fieldConfig={fieldConfig}
                frames={frames}
                interpolate={interpolate}
                width={innerWidth}
                height={innerHeight}
              />
            </Guard>
          )
        }
      </PanelChrome>
    </section>
  );
}

function NoData({ text, theme }: { text?: string; theme: GrafanaTheme2 }) {
  const style = {
    height: '100%',
    display: 'flex',
    alignItems: 'center',
    justifyContent: 'center',
    color: theme.colors.text.secondary,
  };
  return <div style={style}>{text || 'No data'}</div>;
}

/** Keeps one panel's error from taking the others with it. */
class Guard extends Component<{ title: string; children: ReactNode }, { failed: boolean }> {
  override state = { failed: false };

  static getDerivedStateFromError() {
    return { failed: true };
  }

  override componentDidCatch(error: unknown) {
    report(this.props.title, message(error));
  }

  override render() {
    return this.state.failed ? null : this.props.children;
  }
}
