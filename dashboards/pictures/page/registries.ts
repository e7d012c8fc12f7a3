/** What Grafana's application registers when it starts, as far as the dashboards use it. */
import {
  displayNameOverrideProcessor,
  FieldConfigOptionsRegistry,
  identityOverrideProcessor,
  numberOverrideProcessor,
  standardFieldConfigEditorRegistry,
  standardTransformers,
  standardTransformersRegistry,
  stringOverrideProcessor,
  thresholdsOverrideProcessor,
  unitOverrideProcessor,
  valueMappingsOverrideProcessor,
  type FieldConfigPropertyItem,
  type FieldConfigSource,
} from '@grafana/data';

const nothing = () => null;

function property(path: string, process: FieldConfigPropertyItem['process']): FieldConfigPropertyItem {
  const isCustom = path.startsWith('custom.');
  const editors = { editor: nothing, override: nothing };
  return { id: path, path: path.replace('custom.', ''), name: path, isCustom, process, shouldApply: () => true, ...editors };
}

const standard = [
  property('unit', unitOverrideProcessor),
  property('decimals', numberOverrideProcessor),
  property('min', numberOverrideProcessor),
  property('max', numberOverrideProcessor),
  property('displayName', displayNameOverrideProcessor),
  property('noValue', stringOverrideProcessor),
  property('color', identityOverrideProcessor),
  property('thresholds', thresholdsOverrideProcessor),
  property('mappings', valueMappingsOverrideProcessor),
];

/** The settings that a panel may make for its fields; those that only its kind of panel has are taken as they are. */
export function registryOf({ defaults, overrides }: FieldConfigSource) {
  const set = overrides.flatMap(({ properties }) => properties.map(({ id }) => id));
  const custom = [
    ...Object.keys(defaults.custom ?? {}).map((name) => `custom.${name}`),
    ...set.filter((id) => id.startsWith('custom.')),
  ];
  const own = [...new Set(custom)].map((path) => property(path, identityOverrideProcessor));
  const registry = new FieldConfigOptionsRegistry(() => [...standard, ...own]);
  for (const id of [...set, ...Object.keys(defaults).filter((name) => name !== 'custom')]) {
    registry.get(id); // throws where there is none: what is not known here would be left out without a word
  }
  return registry;
}

export function register() {
  standardFieldConfigEditorRegistry.setInit(() => standard);
  const { mergeTransformer, organizeFieldsTransformer } = standardTransformers;
  standardTransformersRegistry.setInit(() =>
    [mergeTransformer, organizeFieldsTransformer].map((info) => ({
      id: info.id,
      name: info.name,
      transformation: async () => info,
      editor: nothing,
      imageDark: '',
      imageLight: '',
    }))
  );
}
