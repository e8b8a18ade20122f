// Draws one dashboard.
//
//   /?dashboard=NAME&scrape-interval=15s&theme=dark&var-NAME=VALUE...
//
// Reads /dashboards/NAME.json and Prometheus' /api/v1 from the same server. The browser's clock is the end of the time
// range. When everything is drawn, `window.drawing` has the result.
import { createTheme, dateMath, dateTime, ThemeContext, type TimeRange } from '@grafana/data';
import { GlobalStyles } from '@grafana/ui';
import type { ReactNode } from 'react';
import { createRoot } from 'react-dom/client';

import { queryAnnotation } from './annotations';
import { DashboardPage, layout, prepareAll } from './dashboard';
import { clippedTexts } from './inspect';
import type { Dashboard } from './model';
import type { View } from './panel';
import { message, report, reported, type Problem } from './problems';
import { registerTransformations } from './registry';
import { countRequests, fontsLoaded, settled } from './settled';
import { Variables } from './variables';

declare global {
  interface Window {
    drawing?: { title: string; panels: number; problems: readonly Problem[] };
  }
}

const TIME_ZONE = 'utc';

async function draw(parameters: URLSearchParams) {
  const name = parameters.get('dashboard') ?? '';
  const response = await fetch(`/dashboards/${name}.json`);
  const dashboard = (await response.json()) as Dashboard;
  document.title = dashboard.title;
  const width = document.documentElement.clientWidth;
  const range = timeRange(dashboard);
  const variables = await Variables.resolve(dashboard.templating.list, range, parameters);
  const view: View = {
    theme: createTheme({ colors: { mode: parameters.get('theme') === 'light' ? 'light' : 'dark' } }),
    timeZone: TIME_ZONE,
    range,
    regions: await annotations(dashboard, range, variables),
  };
  const places = layout(dashboard, width);
  const context = { range, variables, scrapeInterval: parameters.get('scrape-interval') ?? '15s', own: {} };
  const prepared = await prepareAll(places, context, view);
  const element = document.getElementById('root');
  if (!element) throw new Error('the page has no root');
  const root = createRoot(element);
  const show = (page: ReactNode) =>
    root.render(
      <ThemeContext.Provider value={view.theme}>
        <GlobalStyles />
        {page}
      </ThemeContext.Provider>,
    );
  show(null);
  await settled();
  await fontsLoaded(view.theme.typography.fontFamily);
  show(<DashboardPage {...{ dashboard, places, prepared, variables, view, width }} />);
  await settled();
  for (const panel of document.querySelectorAll('[data-panel]')) {
    for (const text of clippedTexts(panel)) report(panel.getAttribute('data-panel') ?? '', `cut off: ${text}`);
  }
  return { title: dashboard.title, panels: prepared.size };
}

function timeRange({ time }: Dashboard): TimeRange {
  const parse = (text: string, roundUp: boolean) =>
    dateMath.toDateTime(text, { roundUp, timezone: TIME_ZONE }) ?? dateTime(Number.NaN);
  return { from: parse(time.from, false), to: parse(time.to, true), raw: time };
}

async function annotations({ annotations: { list } }: Dashboard, range: TimeRange, variables: Variables) {
  const found = list.map((annotation) =>
    queryAnnotation(annotation, range, variables).catch((error: unknown) => {
      report(`annotation ${annotation.name}`, message(error));
      return [];
    }),
  );
  return (await Promise.all(found)).flat();
}

countRequests();
registerTransformations();
draw(new URLSearchParams(window.location.search)).then(
  (drawn) => (window.drawing = { ...drawn, problems: reported() }),
  (error: unknown) => {
    report('dashboard', message(error));
    window.drawing = { title: '', panels: 0, problems: reported() };
  },
);
