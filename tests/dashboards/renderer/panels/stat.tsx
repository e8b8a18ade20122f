// The stat panel: one number for each value, in Grafana's BigValue.
import { getDisplayValueAlignmentFactors, getFieldDisplayValues, type FieldDisplay } from '@grafana/data';
import {
  BigValueGraphMode,
  BigValueTextMode,
  VizOrientation,
  type BigValueColorMode,
  type BigValueJustifyMode,
} from '@grafana/schema';
import type { Options } from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import { BigValue, VizRepeater, type VizRepeaterRenderValueProps } from '@grafana/ui';
import type { ComponentProps } from 'react';

import type { PanelProps } from './panel';

type Shown = ComponentProps<typeof BigValue>;
type Alignment = ReturnType<typeof getDisplayValueAlignmentFactors>;

export function StatPanel({
  options,
  fieldConfig,
  frames,
  width,
  height,
  range,
  timeZone,
  theme,
  interpolate,
}: PanelProps<Options>) {
  const values = () =>
    getFieldDisplayValues({
      fieldConfig,
      reduceOptions: options.reduceOptions,
      replaceVariables: interpolate,
      theme,
      data: frames,
      sparkline: options.graphMode !== BigValueGraphMode.None,
      percentChange: options.showPercentChange,
      timeZone,
    });
  const unnamed = options.textMode === 'auto' && fieldConfig.defaults.displayName === '';
  const value = ({ value, alignmentFactors, count, ...size }: VizRepeaterRenderValueProps<FieldDisplay, Alignment>) => (
    <BigValue
      {...size}
      value={value.display}
      count={count}
      sparkline={value.sparkline && { ...value.sparkline, timeRange: range }}
      // The component and the schema have separate enumerations with the same texts.
      colorMode={options.colorMode as BigValueColorMode as unknown as Shown['colorMode']}
      graphMode={options.graphMode as unknown as Shown['graphMode']}
      justifyMode={options.justifyMode as BigValueJustifyMode as unknown as Shown['justifyMode']}
      textMode={(unnamed ? BigValueTextMode.None : options.textMode) as unknown as Shown['textMode']}
      percentChangeColorMode={options.percentChangeColorMode}
      alignmentFactors={alignmentFactors}
      disableWideLayout={options.wideLayout === false}
      text={options.text}
      theme={theme}
    />
  );
  return (
    <VizRepeater
      getValues={values}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={value}
      width={width}
      height={height}
      source={frames}
      itemSpacing={3}
      renderCounter={0}
      autoGrid
      orientation={options.orientation ?? VizOrientation.Auto}
    />
  );
}
