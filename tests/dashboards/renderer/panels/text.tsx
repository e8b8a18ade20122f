// The text panel: Markdown, with Grafana's renderer.
import { renderTextPanelMarkdown } from '@grafana/data';
import type { Options } from '@grafana/schema/dist/esm/raw/composable/text/panelcfg/x/TextPanelCfg_types.gen';

import type { PanelProps } from './panel';

export function TextPanel({ options, interpolate }: PanelProps<Options>) {
  const html = renderTextPanelMarkdown(interpolate(options.content));
  return <div className="markdown-html" dangerouslySetInnerHTML={{ __html: html }} />;
}
