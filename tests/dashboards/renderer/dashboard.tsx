// A dashboard: the head, the rows, and the panels on Grafana's grid.
import { rangeUtil, type GrafanaTheme2, type IconName } from '@grafana/data';
import { Icon } from '@grafana/ui';
import type { CSSProperties } from 'react';

import { inspectLayout } from './inspect';
import type { Annotation, Dashboard, Panel } from './model';
import { PanelFrame, prepare, type Prepared, type View } from './panel';
import { report } from './problems';
import type { QueryContext } from './query';
import type { Variables } from './variables';

// Grafana's grid, in pixels.
const COLUMNS = 24;
const CELL = 30;
const GAP = 8;
const MARGIN = 16;
const HEAD = 88;

export interface Place {
  panel: Panel;
  left: number;
  top: number;
  width: number;
  height: number;
}

/** All panels from top to bottom, including rows and the panels of collapsed rows. */
export function layout(dashboard: Dashboard, width: number): Place[] {
  const panels = expanded(dashboard.panels);
  for (const [panel, problem] of inspectLayout(panels)) report(panel.title, problem);
  const column = (width - 2 * MARGIN - (COLUMNS - 1) * GAP) / COLUMNS;
  return panels.map((panel) => {
    const { x, y, w, h } = panel.gridPos;
    return {
      panel,
      left: MARGIN + x * (column + GAP),
      top: HEAD + y * (CELL + GAP),
      width: w * column + (w - 1) * GAP,
      height: h * CELL + (h - 1) * GAP,
    };
  });
}

/** Expands collapsed rows, which moves the panels below them down. */
function expanded(panels: Panel[]): Panel[] {
  let shift = 0;
  return panels.flatMap((panel) => {
    const moved = (each: Panel): Panel => ({ ...each, gridPos: { ...each.gridPos, y: each.gridPos.y + shift } });
    const row = moved(panel);
    const inside = (panel.panels ?? []).map(moved);
    const bottom = Math.max(row.gridPos.y + 1, ...inside.map(({ gridPos }) => gridPos.y + gridPos.h));
    if (inside.length > 0) shift += bottom - row.gridPos.y - 1;
    return [row, ...inside];
  });
}

export function isRow({ type }: Panel): boolean {
  return type === 'row';
}

export async function prepareAll(places: Place[], context: QueryContext, view: View): Promise<Map<Panel, Prepared>> {
  const panels = places.filter(({ panel }) => !isRow(panel));
  const prepared = await Promise.all(
    panels.map(({ panel, width }) => prepare(panel, Math.floor(width), context, view)),
  );
  return new Map(prepared.map((each) => [each.panel, each]));
}

interface Props {
  dashboard: Dashboard;
  places: Place[];
  prepared: Map<Panel, Prepared>;
  variables: Variables;
  view: View;
  width: number;
}

export function DashboardPage({ dashboard, places, prepared, variables, view, width }: Props) {
  const bottom = Math.max(...places.map(({ top, height }) => top + height)) + MARGIN;
  return (
    <main style={{ position: 'relative', width, height: bottom, background: view.theme.colors.background.canvas }}>
      <Head dashboard={dashboard} variables={variables} view={view} />
      {places.map(({ panel, ...place }, at) => {
        const ready = prepared.get(panel);
        const style: CSSProperties = { position: 'absolute', ...place };
        return (
          <div key={at} style={style}>
            {ready ? (
              <PanelFrame prepared={ready} width={place.width} height={place.height} view={view} />
            ) : (
              <Row panel={panel} theme={view.theme} />
            )}
          </div>
        );
      })}
    </main>
  );
}

function Row({ panel, theme }: { panel: Panel; theme: GrafanaTheme2 }) {
  return (
    <div style={{ display: 'flex', alignItems: 'center', gap: GAP, height: '100%', ...theme.typography.h6 }}>
      <Icon name="angle-down" />
      {panel.title}
    </div>
  );
}

/** The annotations for which Grafana shows a switch above the panels. */
function shownAnnotations({ annotations: { list } }: Dashboard): Annotation[] {
  return list.filter(({ builtIn, hide }) => !builtIn && !hide);
}

/** The title and the time range, and below them variables, annotations and links. */
function Head({
  dashboard,
  variables,
  view: { theme, range, timeZone },
}: Pick<Props, 'dashboard' | 'variables' | 'view'>) {
  const line: CSSProperties = { display: 'flex', alignItems: 'center', justifyContent: 'space-between', gap: GAP };
  const box: CSSProperties = {
    ...theme.typography.body,
    display: 'inline-flex',
    alignItems: 'center',
    gap: GAP,
    height: 32,
    padding: '0 8px',
    border: `1px solid ${theme.colors.border.medium}`,
    borderRadius: theme.shape.radius.default,
  };
  return (
    <header style={{ padding: `8px ${MARGIN}px`, display: 'flex', flexDirection: 'column', gap: GAP }}>
      <div style={line}>
        <span style={{ ...theme.typography.h4, marginRight: 'auto' }}>{dashboard.title}</span>
        <span style={{ display: 'flex', gap: GAP, whiteSpace: 'nowrap' }}>
          {(dashboard.links ?? []).map(({ title, icon }) => (
            <span key={title} style={box}>
              <Icon name={(icon === 'dashboard' ? 'apps' : 'external-link-alt') as IconName} /> {title}
            </span>
          ))}
        </span>
        <span style={box}>
          <Icon name="clock-nine" />
          {rangeUtil.describeTimeRange(range.raw)}{' '}
          <span style={{ color: theme.colors.text.secondary }}>{timeZone.toUpperCase()}</span>
        </span>
      </div>
      <div style={line}>
        <span style={{ display: 'flex', gap: GAP, whiteSpace: 'nowrap' }}>
          {variables.shown().map(({ label, value }) => (
            <span key={label} style={{ display: 'flex' }}>
              <span style={{ ...box, background: theme.colors.background.secondary }}>{label}</span>
              <span style={{ ...box, background: theme.components.input.background }}>
                {value} <Icon name="angle-down" />
              </span>
            </span>
          ))}
        </span>
        <span style={{ display: 'flex', gap: GAP, marginRight: 'auto', whiteSpace: 'nowrap' }}>
          {shownAnnotations(dashboard).map(({ name, enable, iconColor }) => (
            <span key={name} style={{ ...box, opacity: enable ? 1 : theme.colors.action.disabledOpacity }}>
              <span style={{ height: 16, borderLeft: `2px dashed ${theme.visualization.getColorByName(iconColor)}` }} />
              {name}
            </span>
          ))}
        </span>
      </div>
    </header>
  );
}
