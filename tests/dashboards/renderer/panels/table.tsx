// The table panel: Grafana's TableNG.
import type { Options } from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import { TableNG } from '@grafana/ui/unstable';

import type { PanelProps } from './panel';

export function TablePanel({ options, fieldConfig, frames, width, height, range }: PanelProps<Options>) {
  const frame = frames[options.frameIndex ?? 0] ?? frames[0];
  if (!frame) return null;
  return (
    <TableNG
      data={frame}
      width={width}
      height={height}
      noHeader={options.showHeader === false}
      showTypeIcons={options.showTypeIcons}
      sortBy={options.sortBy}
      cellHeight={options.cellHeight}
      maxRowHeight={options.maxRowHeight}
      frozenColumns={options.frozenColumns?.left}
      enablePagination={options.enablePagination}
      fieldConfig={fieldConfig}
      timeRange={range}
      resizable
    />
  );
}
