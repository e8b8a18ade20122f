// Fills Grafana's registries of field settings and transformations, which its own application does otherwise.
import {
  displayNameOverrideProcessor,
  FieldConfigOptionsRegistry,
  identityOverrideProcessor,
  numberOverrideProcessor,
  standardTransformers,
  standardTransformersRegistry,
  thresholdsOverrideProcessor,
  unitOverrideProcessor,
  valueMappingsOverrideProcessor,
  type DataTransformerInfo,
  type FieldConfigPropertyItem,
  type FieldConfigSource,
  type TransformerRegistryItem,
} from '@grafana/data';

type Process = FieldConfigPropertyItem['process'];

const STANDARD: Record<string, Process> = {
  displayName: displayNameOverrideProcessor,
  description: identityOverrideProcessor,
  unit: unitOverrideProcessor,
  min: numberOverrideProcessor,
  max: numberOverrideProcessor,
  decimals: numberOverrideProcessor,
  noValue: identityOverrideProcessor,
  color: identityOverrideProcessor,
  thresholds: thresholdsOverrideProcessor,
  mappings: valueMappingsOverrideProcessor,
  links: identityOverrideProcessor,
  filterable: identityOverrideProcessor,
};

const CUSTOM = 'custom.';

/** The standard settings, and the custom ones that this panel uses. */
export function fieldSettings(config: FieldConfigSource): FieldConfigOptionsRegistry {
  const overridden = config.overrides.flatMap(({ properties }) => properties.map(({ id }) => id));
  const own = [
    ...Object.keys(config.defaults.custom ?? {}).map((key) => CUSTOM + key),
    ...overridden.filter((id) => id.startsWith(CUSTOM)),
  ];
  return new FieldConfigOptionsRegistry(() => [
    ...Object.entries(STANDARD).map(([id, process]) => setting(id, process)),
    ...[...new Set(own)].map((id) => ({
      ...setting(id, identityOverrideProcessor),
      path: id.slice(CUSTOM.length),
      isCustom: true,
    })),
  ]);
}

/** A setting without an editor. */
function setting(id: string, process: Process): FieldConfigPropertyItem {
  const nothing = () => null;
  return { id, path: id, name: id, process, editor: nothing, override: nothing, shouldApply: () => true };
}

export function registerTransformations() {
  const byId = new Map(Object.values(standardTransformers).map((each) => [each.id, each as DataTransformerInfo]));
  standardTransformersRegistry.setInit(() =>
    [...byId.values()].map((info): TransformerRegistryItem => ({
      id: info.id,
      name: info.name,
      transformation: async () => info,
      editor: () => null,
      imageDark: '',
      imageLight: '',
    })),
  );
}
